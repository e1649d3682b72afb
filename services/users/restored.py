"""Puts the accounts of a restored database right (docs/backup.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts
from services.users.administration import republish
from services.users.audit import OPERATOR
from services.users.tables import codes, outbox
from shared.messaging.address_events import CodeRequested
from shared.sealing import Sealer

_PAGE: Final = 500


async def put_right(connection: AsyncConnection, sealer: Sealer, deleted: Sequence[UUID]) -> AsyncIterator[str]:
    """Deletes `deleted` again, voids mailed codes and invitations, ends all sessions, and publishes every account in a
    new incarnation, all in the transaction of `connection`. Yields the progress.
    """
    yield f"{await _delete_again(connection, deleted)} accounts are deleted again"
    await connection.execute(codes.delete())  # registrations and invitations that wait for theirs, too
    await connection.execute(outbox.delete().where(outbox.c.type == CodeRequested.type))
    async for progress in republish(lambda: nullcontext(connection), sealer, force=True):
        yield progress


async def _delete_again(connection: AsyncConnection, deleted: Sequence[UUID]) -> int:
    again = 0
    for start in range(0, len(deleted), _PAGE):
        rows = await accounts.lock(connection, *deleted[start : start + _PAGE])
        for row in rows.values():
            await accounts.remove(connection, row, force=True)
            await OPERATOR.record(connection, "account_deleted", account=row.id)
        again += len(rows)
    return again
