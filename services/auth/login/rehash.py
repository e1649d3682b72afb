"""Replaces the hash of an imported account by one of ours, once its owner has logged in (docs/import.md)."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.auth.accounts.read_model import Identity
from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.outbox import add
from shared.messaging.password_events import PasswordRehashed, digest_of
from shared.passwords import foreign
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.web.problems import Unavailable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehash:
    database: Database
    passwords: Passwords
    sealer: Sealer

    async def after(self, identity: Identity, password: str, holders: Collection[Hashable]) -> None:
        """`password` is right. Users owns the hash, and is asked to store the new one; sessions go on. Under load the
        next login does it.
        """
        if not foreign.is_to_be_replaced(identity.password_hash, password):
            return
        try:
            hashed = await self.passwords.hash(password, holders)
        except Unavailable:
            return
        event = PasswordRehashed(
            account_id=identity.id, replaced=digest_of(identity.password_hash), occurred_at=datetime.now(UTC)
        )
        async with self.database.transaction() as connection:
            await add(connection, outbox, event.sealed(hashed, self.sealer))
        log.info("password hashed anew", account=str(identity.id))
