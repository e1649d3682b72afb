"""Writes the notifier's delivery reports to their challenges, in batches. Reports may repeat, arrive in any order or
never: only an outcome that says more replaces another, and reports on a code that was resent are ignored.
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

# The outcomes that each one replaces, in addition to an unset one; the strongest comes last.
_SAYS_MORE_THAN: dict[str, list[str]] = {
    "deferred": [],
    "given_up": ["deferred"],
    "expired": ["deferred"],
    "delivered": ["deferred", "given_up", "expired"],
}


async def apply(connection: AsyncConnection, reports: Sequence[OtpOutcome]) -> None:
    # One statement per outcome, the strongest last: of two reports on one code the stronger stays.
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
    return batched_event_handler(database, OtpOutcome, apply, _tell)


def _tell(event: OtpOutcome) -> None:
    log.info("code outcome", outcome=event.outcome, request=str(event.request_event_id), attempt=event.attempt)
