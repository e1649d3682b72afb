"""Puts a restored database right, both schemas in one transaction (docs/backup.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final
from uuid import UUID

from services.auth import restored as auth
from services.auth import tables as auth_tables
from services.users import incarnation
from services.users import restored as users
from services.users import tables as users_tables
from shared.database.pool import Database
from shared.database.schema import Schema
from shared.sealing import Sealer

# Seconds for one statement: on a large database the one that ends all sessions takes longer than a request may.
_STATEMENT: Final = 3600.0


class TrailInvalid(Exception):
    """The audit trail can not be read; the text names the line."""


class NotMigrated(Exception):
    """Nothing was changed; the text tells the operator why."""


def deleted_in(trail: Iterable[str]) -> list[UUID]:
    """The accounts that the audit trail knows as deleted, by its lines in the log or its events (docs/audit.md).

    Passes over other lines of the log. Raises `TrailInvalid`.
    """
    found = (_deleted(number, line) for number, line in enumerate(trail, 1) if line.strip())
    try:
        return sorted({account for account in found if account is not None})
    except UnicodeDecodeError:
        raise TrailInvalid("it is no text in UTF-8") from None


def _deleted(number: int, line: str) -> UUID | None:
    try:
        record = json.loads(line)
        if (record.get("act"), record.get("outcome")) != ("account_deleted", "ok"):
            return None
        return UUID(record["account_id"])
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise TrailInvalid(f"line {number} is no JSON object of a log or of the audit trail") from None


async def put_right(url: str, sealer: Sealer, deleted: Sequence[UUID]) -> AsyncIterator[str]:
    """`url` logs in as the role `migrator`. Yields the progress; all is committed at the end. Safe to repeat.

    Raises `NotMigrated`.
    """
    database = Database(url, pool_size=1, command_timeout=_STATEMENT)
    try:
        for each in (auth_tables.metadata, users_tables.metadata):
            if not await Schema(database, each).is_ready():
                raise NotMigrated(
                    f"Schema {each.schema} lacks what this version reads, or cannot be reached by the role of"
                    " MIGRATOR_DATABASE_URL: restore both schemas, then run `login2fa migrate`."
                )
        async with database.transaction() as connection:
            async for progress in users.put_right(connection, sealer, deleted):
                yield progress
            await auth.void(connection, await incarnation.present(connection))
    finally:
        await database.close()
