"""The wait after wrong passwords in a row, for one submitted name from one address.

Some are free, then each failure doubles the wait; a success resets. While the wait lasts even the right password
is refused, and a name that nobody has is treated the same, so that a 429 tells nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, delete, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import login_failures
from shared.names import canonical
from shared.problems import TooManyRequests


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures that cost nothing; seconds of the first wait and of the longest."""

    free: int
    first_wait: float
    longest_wait: float

    async def refuse_early(self, connection: AsyncConnection, username: str, address: str) -> None:
        """Raises `TooManyRequests` while the wait lasts."""
        left = func.extract("epoch", login_failures.c.wait_until - func.now())
        seconds = (await connection.execute(select(left).where(_row(username, address)))).scalar_one_or_none()
        if seconds is not None and seconds > 0:
            raise TooManyRequests(retry_after=float(seconds))

    async def failed(self, connection: AsyncConnection, username: str, address: str) -> None:
        first_wait = func.now() + timedelta(seconds=self.first_wait) if self.free <= 1 else null()
        new = insert(login_failures).values(
            name_hash=_hash(username), address=address, failures=1, wait_until=first_wait
        )
        failures = login_failures.c.failures + 1
        doubled = self.first_wait * func.power(2.0, func.least(failures - self.free, 30))
        wait = func.least(doubled, self.longest_wait) * timedelta(seconds=1)
        count = new.on_conflict_do_update(
            index_elements=["name_hash", "address"],
            set_={
                "failures": failures,
                "last_at": func.now(),
                "wait_until": case((failures >= self.free, func.now() + wait), else_=null()),
            },
        )
        await connection.execute(count)

    async def succeeded(self, connection: AsyncConnection, username: str, address: str) -> None:
        await connection.execute(delete(login_failures).where(_row(username, address)))


def _row(username: str, address: str) -> ColumnElement[bool]:
    return and_(login_failures.c.name_hash == _hash(username), login_failures.c.address == address)


def _hash(username: str) -> bytes:
    return hashlib.sha256(canonical(username).encode()).digest()
