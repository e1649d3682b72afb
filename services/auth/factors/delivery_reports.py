"""Writes the notifier's delivery reports to their challenges, in batches. Reports may repeat, arrive in any order or
never: only an outcome that says more replaces another, and reports on a code that was resent are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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

_UPDATE: Final = text(
    """
UPDATE auth.challenges SET code_outcome = CAST(:outcome AS text)
FROM unnest(CAST(:challenges AS uuid[]), CAST(:requests AS uuid[])) AS reported(challenge, request)
WHERE id = reported.challenge AND code_event_id = reported.request
    AND (code_outcome IS NULL OR code_outcome = ANY (CAST(:weaker AS text[])))
"""
)


async def apply(connection: AsyncConnection, reports: Sequence[OtpOutcome]) -> None:
    # One statement per outcome, the strongest last: of two reports on one code the stronger stays.
    for outcome, weaker in _SAYS_MORE_THAN.items():
        if batch := [report for report in reports if report.outcome == outcome]:
            values = {
                "outcome": outcome,
                "weaker": weaker,
                "challenges": [report.challenge_id for report in batch],
                "requests": [report.request_event_id for report in batch],
            }
            await connection.execute(_UPDATE, values)


def otp_outcome_handler(database: Database) -> Handler:
    return batched_event_handler(database, OtpOutcome, apply, _log)


def _log(event: OtpOutcome) -> None:
    log.info("code outcome", outcome=event.outcome, request=str(event.request_event_id), attempt=event.attempt)
