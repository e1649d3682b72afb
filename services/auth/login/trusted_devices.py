"""Devices that need no second factor to log in, for a fixed time. The token of a device is worth nothing without the
password: it is looked at after that. A changed password, address or factor ends all devices of the account.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, and_, delete, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.sessions.client import Client
from services.auth.tables import factors, identities, trail, trusted_devices
from shared.database.pool import Database
from shared.web.problems import ItemNotFound

_MOST: Final = 10
_TOKEN_BYTES: Final = 32

# The version is that of this moment: a factor that was used up in the same login has raised it.
_REMEMBER: Final = text(
    """
WITH too_many AS (
    DELETE FROM auth.trusted_devices WHERE id IN (
        SELECT id FROM auth.trusted_devices WHERE account_id = :account ORDER BY created_at DESC, id DESC OFFSET :others
    )
)
INSERT INTO auth.trusted_devices
    (id, account_id, token_hash, epoch, factors_version, address, user_agent, expires_at)
SELECT :id, :account, :token_hash, :epoch,
    coalesce((SELECT version FROM auth.factors WHERE account_id = :account), 0),
    :address, :user_agent, now() + CAST(:lifetime AS interval)
"""
)

_USE: Final = text(
    """
UPDATE auth.trusted_devices SET last_used_at = now(), address = :address, user_agent = :user_agent
WHERE token_hash = :token_hash AND account_id = :account AND epoch = :epoch AND factors_version = :version
    AND expires_at > now() AND created_at > now() - CAST(:lifetime AS interval)
RETURNING id
"""
)


@dataclass(frozen=True, slots=True)
class TrustedDevices:
    """`lifetime`: none is remembered if it is zero."""

    database: Database
    lifetime: timedelta

    async def remember(self, connection: AsyncConnection, account: UUID, epoch: int, client: Client) -> str | None:
        """The token of a new device; the oldest beyond ten is forgotten. None where no device is remembered."""
        if not self.lifetime:
            return None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        values = _of_client(client) | {
            "id": uuid7(),
            "account": account,
            "token_hash": _hash(token),
            "epoch": epoch,
            "lifetime": self.lifetime,
            "others": _MOST - 1,
        }
        await connection.execute(_REMEMBER, values)
        await trail.record(connection, "device_remembered", account=account, actor=account)
        return token

    async def use(self, connection: AsyncConnection, identity: Identity, token: str, client: Client) -> bool:
        """Whether it is a device of this account. It stays locked until the commit."""
        values = _of_client(client) | {
            "token_hash": _hash(token),
            "account": identity.id,
            "epoch": identity.session_epoch,
            "version": identity.factors_version,
            "lifetime": self.lifetime,
        }
        return (await connection.execute(_USE, values)).one_or_none() is not None

    async def list(self, account: UUID) -> Sequence[RowMapping]:
        """`id, created_at, last_used_at, expires_at, address, user_agent`, the newest first."""
        row = trusted_devices.c
        version = select(factors.c.version).where(factors.c.account_id == account).scalar_subquery()
        query = (
            select(row.id, row.created_at, row.last_used_at, row.expires_at, row.address, row.user_agent)
            .join(identities, identities.c.id == row.account_id)
            .where(row.account_id == account, row.epoch == identities.c.session_epoch)
            .where(row.factors_version == func.coalesce(version, 0), row.expires_at > func.now())
            .where(row.created_at > func.now() - self.lifetime)
            .order_by(row.created_at.desc(), row.id.desc())
        )
        async with self.database.transaction() as connection:
            return (await connection.execute(query)).mappings().all()

    async def end(self, account: UUID, device: UUID | None = None) -> None:
        """Forgets one device, or all of the account. Raises `ItemNotFound` if it has no such device."""
        one = trusted_devices.c.id == device if device is not None else true()
        which = delete(trusted_devices).where(and_(trusted_devices.c.account_id == account, one))
        async with self.database.transaction() as connection:
            ended = (await connection.execute(which)).rowcount
            if device is not None and not ended:
                raise ItemNotFound
            if ended:
                await trail.record(connection, "device_ended", account=account, actor=account)


def _of_client(client: Client) -> dict[str, str | None]:
    return {"address": client.address, "user_agent": client.user_agent}


def _hash(token: str) -> bytes:
    """Without a key: a token has 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
