"""From where an account has logged in before. Of an address nothing is stored but its HMAC under a server key."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Exists, exists, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.settings import AuthSettings
from services.auth.tables import familiar_addresses, identities
from shared.client_address import network_of
from shared.names import canonical

# Who logs in all day is not written down each time.
_NOTED_EVERY = timedelta(days=1)


class Addresses:
    def __init__(self, settings: AuthSettings) -> None:
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._lifetime = timedelta(seconds=settings.familiar_address_lifetime)

    def hashed(self, address: str) -> bytes:
        """Of an IPv6 address its network's: one client may choose any address in it."""
        return _hmac(self._peppers[0], address)

    def familiar(self, username: str, address: str) -> Exists:
        """Whether the account of this name, if there is one, has logged in from there."""
        here = [_hmac(pepper, address) for pepper in self._peppers]
        return exists().where(
            familiar_addresses.c.account_id == identities.c.id,
            familiar_addresses.c.address_hash.in_(here),
            familiar_addresses.c.last_at > func.now() - self._lifetime,
            identities.c.username_key == canonical(username),
            ~identities.c.deleted,
        )

    async def remember(self, connection: AsyncConnection, account: UUID, address: str) -> None:
        """To be called once a login is complete: who has the password alone is no owner yet."""
        new = insert(familiar_addresses).values(account_id=account, address_hash=self.hashed(address))
        seen_again = new.on_conflict_do_update(
            index_elements=["account_id", "address_hash"],
            set_={"last_at": func.now()},
            where=familiar_addresses.c.last_at < func.now() - _NOTED_EVERY,
        )
        await connection.execute(seen_again)


def _hmac(pepper: bytes, address: str) -> bytes:
    # Codes are hashed under the same keys: the first bytes keep the two apart.
    return hmac.digest(pepper, b"address:" + network_of(address).encode(), hashlib.sha256)
