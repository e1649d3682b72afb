"""Stores the hashes that auth has made of imported accounts' passwords (docs/import.md)."""

from __future__ import annotations

import hmac
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts
from shared.database.pool import Database, after_commit
from shared.messaging.bus import Handler
from shared.messaging.handlers import event_handler
from shared.messaging.password_events import PasswordRehashed, digest_of
from shared.sealing import Sealer

log = structlog.get_logger()


def rehashed_handler(database: Database, sealer: Sealer) -> Handler:
    return event_handler(database, PasswordRehashed, partial(_apply, sealer))


async def _apply(sealer: Sealer, connection: AsyncConnection, event: PasswordRehashed) -> None:
    """It is the same password: nobody is told, and no session ends. Passes over a hash that has changed meanwhile, so
    events may repeat and arrive in any order. Raises `Unsealable`.
    """
    hashed = sealer.open(event.sealed_password_hash, event.hash_context)
    row = (await accounts.lock(connection, event.account_id)).get(event.account_id)
    if row is not None and hmac.compare_digest(digest_of(row.password_hash), event.replaced):
        await accounts.replace_hash(connection, sealer, row, hashed)
    after_commit(connection, partial(log.info, "password hashed anew", account=str(event.account_id)))
