"""Back-pressure: while codes can not be delivered before they expire, nobody is promised one (docs/decisions/0007).

1. The database alone judges, by one statement, so that all replicas agree; a process asks it once a second at most.
2. The evidence: accounts that have been waiting for a code since after the last one that was delivered was asked for.
   One account is never enough; what is older than the last delivery is that account's own trouble, and so is a mailbox
   that the mail server refuses: with a few of these anybody could shut all others out.
3. Where the outbox holds an event that old, the broker is away: that is enough by itself.
4. It turns on at one age and off at a lower one. While it is on, now and then one login is let through, so that it
   finds out by itself that codes are delivered again; an account that has just tried in vain never is.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy import ScalarSelect, Select, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.settings import AuthSettings
from services.auth.tables import challenges, outbox, pressure
from shared.database import Database
from shared.problems import Unavailable

log = structlog.get_logger()

PRESSURE = Gauge("login2fa_otp_pressure", "1 while two-factor logins are refused because codes are not delivered.")

_VERDICT_HOLDS = 1.0
_LOOK_EVERY = 5.0  # without logins too: the metric has to tell

# A notifier that reports nothing is of an older version, and not away, unless one has reported in this time.
_REPORTS_KNOWN_FOR = timedelta(days=7)

# Who has tried in vain is not let through to try again for so long.
_TRIED = timedelta(hours=1)


class Pressure:
    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._on_from = settings.otp_pressure_on
        self._off_below = settings.otp_pressure_off
        self._probe_every = settings.otp_pressure_probe
        # Older than this a code is dead, and has been long enough to be noticed.
        window = timedelta(seconds=settings.otp_lifetime + settings.otp_pressure_on)
        self._evidence = _evidence(window, settings.otp_pressure_accounts, settings.otp_codes_per_hour)
        self._on = False
        self._looked_at = -math.inf

    async def look(self) -> None:
        """Ask the database, unless this process did in the last second. What can not be asked stays as it was."""
        now = time.monotonic()
        if now - self._looked_at < _VERDICT_HOLDS:
            return
        self._looked_at = now  # first: who comes meanwhile takes the verdict before, and queues behind nobody
        try:
            async with self._database.transaction() as connection:
                self._on = await self._judge(connection)
        except (SQLAlchemyError, OSError) as error:
            log.warning("back-pressure not judged", error=type(error).__name__)
        PRESSURE.set(self._on)

    async def watch_forever(self) -> None:
        """Until cancelled; no failure ends it."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the next look tries again
                log.warning("back-pressure not judged", error=type(error).__name__)
            await asyncio.sleep(_LOOK_EVERY)

    async def admit(self, connection: AsyncConnection, account: UUID) -> None:
        """Let a code be asked for; to be called right before it is, in the same transaction, after `look`.

        Raises:
            Unavailable: codes are not delivered at the moment, and it is not this login's turn to try.
        """
        if not self._on:
            return
        if not await self._is_probe(connection, account):
            raise Unavailable(retry_after=math.ceil(self._probe_every))
        log.info("two-factor login let through to see whether codes are delivered again")

    async def _is_probe(self, connection: AsyncConnection, account: UUID) -> bool:
        now = func.clock_timestamp()
        last = pressure.c.probed_at
        # A mailbox that takes no mail must not use up all attempts to find out whether others do.
        has_tried = exists().where(challenges.c.account_id == account, challenges.c.waiting_since > now - _TRIED)
        claim = (
            update(pressure)
            .values(probed_at=now)
            .where(or_(last.is_(None), last <= now - timedelta(seconds=self._probe_every)), ~has_tried)
        )
        return (await connection.execute(claim)).rowcount == 1

    async def _judge(self, connection: AsyncConnection) -> bool:
        seen = (await connection.execute(self._evidence)).one()
        waiting, unpublished = (float(seconds or 0) for seconds in (seen.waiting, seen.unpublished))
        was_on = seen.since is not None
        on = max(waiting, unpublished) >= (self._off_below if was_on else self._on_from)
        if on != was_on and await _turn(connection, on=on):
            say, what = (log.error, "refused") if on else (log.info, "let in again")
            say(f"two-factor logins are {what}", waiting_seconds=waiting, unpublished_seconds=unpublished)
        return on


async def _turn(connection: AsyncConnection, *, on: bool) -> bool:
    """Whether this replica was the one that did it."""
    since = pressure.c.since
    turn = (
        update(pressure).values(since=func.now() if on else None).where(since.is_(None) if on else since.is_not(None))
    )
    return (await connection.execute(turn)).rowcount == 1


def _evidence(window: timedelta, accounts: int, codes_per_account: int) -> Select[Any]:
    """Seconds for which that many accounts have been waiting, each of them; seconds of the oldest event in the outbox.

    Every part of it is the end of an index, or a bounded number of rows from there.
    """
    now = func.now()
    delivered = select(func.max(challenges.c.delivered_sent_at)).scalar_subquery()
    reports_come = select(pressure.c.reported_at > now - _REPORTS_KNOWN_FOR).scalar_subquery()
    waiting = (
        select(challenges.c.account_id, challenges.c.waiting_since)
        .where(challenges.c.waiting_since > func.greatest(delivered, now - window), ~challenges.c.mailbox_refuses)
        .where(or_(challenges.c.code_outcome.is_not(None), reports_come))
        .order_by(challenges.c.waiting_since)
        .limit(accounts * codes_per_account)  # among these are so many accounts, if there are so many at all
        .subquery()
    )
    first = func.min(waiting.c.waiting_since)
    so_many_since = select(first).group_by(waiting.c.account_id).order_by(first).offset(accounts - 1).limit(1)
    unpublished_since = (
        select(outbox.c.created_at)
        .where(or_(delivered.is_(None), outbox.c.created_at > delivered))
        .order_by(outbox.c.id)
        .limit(1)
    )
    return select(
        pressure.c.since,
        _age(so_many_since.scalar_subquery()).label("waiting"),
        _age(unpublished_since.scalar_subquery()).label("unpublished"),
    )


def _age(since: ScalarSelect[Any]) -> Any:
    return func.extract("epoch", func.now() - since)
