"""Writes the notifier's delivery reports to their codes. Reports may repeat, arrive in any order or never: only an
outcome that says more replaces another.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import after_commit
from shared.messaging.address_events import AccountCodeOutcome

log = structlog.get_logger()

# The outcomes that each one replaces, in addition to an unset one.
_SAYS_MORE_THAN: Final[dict[str, list[str]]] = {
    "deferred": [],
    "given_up": ["deferred"],
    "expired": ["deferred"],
    "delivered": ["deferred", "given_up", "expired"],
}

_UPDATE: Final = text(
    """
UPDATE users.codes SET outcome = CAST(:outcome AS text), said = nullif(CAST(:said AS text), '')
WHERE id = CAST(:code AS uuid) AND (outcome IS NULL OR outcome = ANY (CAST(:weaker AS text[])))
"""
)


async def apply(connection: AsyncConnection, event: AccountCodeOutcome) -> None:
    values = {
        "outcome": event.outcome,
        "said": event.said,
        "code": event.code_id,
        "weaker": _SAYS_MORE_THAN[event.outcome],
    }
    await connection.execute(_UPDATE, values)
    after_commit(
        connection,
        partial(
            log.info, "account code outcome", outcome=event.outcome, code=str(event.code_id), attempt=event.attempt
        ),
    )
