"""Digests of `Idempotency-Key`s, kept for a day: a reader of this table can repeat no registration."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.problems import RegistrationUnderWay
from services.users.tables import registration_keys
from shared.database.expiry import Expired

EXPIRED: Expired = ((registration_keys, registration_keys.c.created_at < func.now() - timedelta(days=1)),)

# The lock ends with its transaction, even if the process dies: no key stays "under way".
_LOCK: Final = select(func.pg_try_advisory_xact_lock(bindparam("lock_number", type_=BigInteger)))


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def hold(connection: AsyncConnection, digest: bytes) -> UUID | None:
    """Locks the key until the transaction ends; returns the account made with it. Raises `RegistrationUnderWay`."""
    number = int.from_bytes(digest[:8], signed=True)
    if not (await connection.execute(_LOCK, {"lock_number": number})).scalar_one():
        raise RegistrationUnderWay
    made = select(registration_keys.c.account_id).where(registration_keys.c.digest == digest)
    return (await connection.execute(made)).scalar_one_or_none()


async def keep(connection: AsyncConnection, digest: bytes, account: UUID) -> None:
    await connection.execute(insert(registration_keys).values(digest=digest, account_id=account))
