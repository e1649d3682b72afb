"""What became of the codes, as the notifier reports it: written to their challenges, each report by one statement.

Reports come more than once, in any order, or never. A word is replaced only by one that says more, `delivered` is
final, and a word on a code that has been replaced by a resend says nothing.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import func, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import challenges, pressure
from shared.applying import applying
from shared.broker.bus import Handler
from shared.database import Database, after_commit
from shared.events import OtpOutcome

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

    async def apply_and_note(connection: AsyncConnection, event: OtpOutcome) -> None:
        await apply(connection, event)
        await _note_that_reports_come(connection)
        request = str(event.request_event_id)
        tell = partial(log.info, "code outcome", outcome=event.outcome, request=request, attempt=event.attempt)
        after_commit(connection, tell)

    return applying(database, OtpOutcome, apply_and_note)
