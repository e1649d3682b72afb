"""What became of the codes, as the notifier reports it: written to their challenges, those that come together at once.

Reports come more than once, in any order, or never. A word is replaced only by one that says more, `delivered` is
final, and a word on a code that has been replaced by a resend says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import ARRAY, Update, Uuid, bindparam, column, func, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import challenges
from shared.database.pool import Database
from shared.messaging.bus import Handler
from shared.messaging.events import OtpOutcome
from shared.messaging.handlers import batched_event_handler

log = structlog.get_logger()

# The words that each word replaces, beside none at all; whoever says more comes later.
_SAYS_MORE_THAN: dict[str, list[str]] = {
    "deferred": [],
    "given_up": ["deferred"],
    "expired": ["deferred"],
    "delivered": ["deferred", "given_up", "expired"],
}


async def apply(connection: AsyncConnection, reports: Sequence[OtpOutcome]) -> None:
    """Nothing happens to a challenge that has been swept away, or has a newer code."""
    # One statement for each word, the last word last: of two reports on one code the one that says more stays.
    for word in _SAYS_MORE_THAN:
        if of_this_word := [report for report in reports if report.outcome == word]:
            await connection.execute(
                _UPDATE[word],
                {
                    "challenges": [report.challenge_id for report in of_this_word],
                    "requests": [report.request_event_id for report in of_this_word],
                },
            )


def _update(word: str) -> Update:
    reported = (
        func.unnest(
            bindparam("challenges", type_=ARRAY(Uuid)),
            bindparam("requests", type_=ARRAY(Uuid)),
        )
        .table_valued(column("challenge", Uuid), column("request", Uuid))
        .render_derived()
    )
    said = challenges.c.code_outcome
    return (
        update(challenges)
        .values(code_outcome=word)
        .where(challenges.c.id == reported.c.challenge, challenges.c.code_event_id == reported.c.request)
        .where(or_(said.is_(None), said.in_(_SAYS_MORE_THAN[word])))
    )


_UPDATE = {word: _update(word) for word in _SAYS_MORE_THAN}


def otp_outcome_handler(database: Database) -> Handler:
    """The handler of `notifier.otp_outcome.v1`."""
    return batched_event_handler(database, OtpOutcome, apply, _tell)


def _tell(event: OtpOutcome) -> None:
    log.info("code outcome", outcome=event.outcome, request=str(event.request_event_id), attempt=event.attempt)
