"""What became of the codes, as the notifier reports it: written to their challenges, each report by one statement.

Reports come more than once, in any order, or never. A word is replaced only by one that says more, `delivered` is
final, and a word on a code that has been replaced by a resend says nothing.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import func, or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import challenges, pressure
from shared.broker.bus import Delivery, Done, GiveUp, Handler, Outcome, Retry
from shared.database import Database, unavailable
from shared.events import MalformedEvent, OtpOutcome

log = structlog.get_logger()

# The words that each word replaces, beside none at all.
_SAYS_MORE_THAN: dict[str, list[str]] = {
    "deferred": [],
    "given_up": ["deferred"],
    "expired": ["deferred"],
    "delivered": ["deferred", "given_up", "expired"],
}

# All replicas write the row of `pressure`: not at each report.
_NOTED_EVERY = timedelta(hours=1)


async def apply(connection: AsyncConnection, event: OtpOutcome) -> None:
    """Nothing happens to a challenge that has been swept away, or has a newer code."""
    said = challenges.c.code_outcome
    # A mailbox that has refused may also be the reason for what follows, the expiry.
    refuses = challenges.c.mailbox_refuses | event.of_mailbox
    values: dict[str, object] = {"code_outcome": event.outcome, "mailbox_refuses": refuses}
    if event.outcome == "delivered":
        values |= {"waiting_since": None, "delivered_sent_at": challenges.c.sent_at}
    await connection.execute(
        update(challenges)
        .values(values)
        .where(challenges.c.id == event.challenge_id, challenges.c.code_event_id == event.request_event_id)
        .where(or_(said.is_(None), said.in_(_SAYS_MORE_THAN[event.outcome])))
    )


async def _note_that_reports_come(connection: AsyncConnection) -> None:
    noted = pressure.c.reported_at
    await connection.execute(
        update(pressure).values(reported_at=func.now()).where(or_(noted.is_(None), noted < func.now() - _NOTED_EVERY))
    )


def otp_outcome_handler(database: Database) -> Handler:
    """The handler of `notifier.otp_outcome.v1`."""

    async def handle(delivery: Delivery) -> Outcome:
        try:
            event = OtpOutcome.from_message(delivery)
        except MalformedEvent as error:
            return GiveUp(f"{type(error).__name__}: {error}")
        try:
            async with database.transaction() as connection:
                await apply(connection, event)
                await _note_that_reports_come(connection)
        except (SQLAlchemyError, OSError) as error:
            if not unavailable(error):
                raise
            return Retry("database unavailable")
        log.info("code outcome", outcome=event.outcome, request=str(event.request_event_id), attempt=event.attempt)
        return Done()

    return handle
