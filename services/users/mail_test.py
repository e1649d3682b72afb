"""An operator's test of the whole way of a mail: a code of purpose `test`, which no route takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from services.users.codes import TEST_LIFETIME, Codes, Wanted
from services.users.settings import UsersSettings
from shared.database.pool import Database
from shared.mail_address import one_address
from shared.sealing import Sealer

_LOOK_EVERY = 0.1

# The last report may come a little later than the mail expires.
WAIT_SECONDS: Final = TEST_LIFETIME + 3.0


async def send(settings: UsersSettings, address: str) -> AsyncIterator[Row[Any]]:
    """Ask for the mail, and yield what became of it at each change: `outcome`, `said`, `published`, `age`.

    Ends with a final outcome, or when the mail has expired. Raises `AddressInvalid`, `TooManyRequests`.
    """
    wanted = Wanted(purpose="test", email=one_address(address, reserved=settings.mail_reserved_domains))
    database = Database(settings.users_database_url.get_secret_value(), pool_size=1)
    try:
        async with database.transaction() as connection:
            request = await Codes(settings, Sealer.of(settings.mailed_code_sealing_keys)).request(connection, wanted)
        async for state in _changes(database, request):
            yield state
    finally:
        await database.close()


async def _changes(database: Database, request: UUID) -> AsyncIterator[Row[Any]]:
    known: tuple[object, ...] = ()
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        (state,) = await database.read(_STATE, {"request": request})
        if (seen := (state.published, state.outcome, state.said)) != known:
            known = seen
            yield state
        if state.outcome not in (None, "deferred"):
            return
        await asyncio.sleep(_LOOK_EVERY)


_STATE: Final = text(
    """
SELECT outcome, coalesce(said, '') AS said, extract(epoch FROM clock_timestamp() - created_at) AS age,
    NOT EXISTS (
        SELECT FROM users.outbox
        WHERE type = 'users.code_requested.v1' AND CAST(body AS jsonb) ->> 'code_id' = CAST(codes.id AS text)
    ) AS published
FROM users.codes WHERE id = CAST(:request AS uuid)
"""
)
