"""The audit trail: one record for each security act, never changed (docs/audit.md).

1. An event in the outbox, in the transaction of the act: a rollback removes both, and no event is lost.
2. A log line after the commit, at any LOG_LEVEL, and a count in `login2fa_acts_total`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Required, TypedDict, Unpack
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.audit_acts import ACTS
from shared.audit_words import Act, ActOutcome, Reason
from shared.database.pool import after_commit
from shared.messaging.audit_events import Audited, AuthAudited, UsersAudited
from shared.messaging.events import Event
from shared.messaging.outbox import add, event_params, wake_relay
from shared.observability.correlation import client_address, correlation_id
from shared.observability.logs import AUDIT

log = structlog.get_logger(AUDIT)


class Concerned(TypedDict, total=False):
    """`account`: the account concerned. `actor`: the account that acted, only if that is certain."""

    account: Required[UUID | None]
    actor: UUID | None
    session: UUID | None


@dataclass(frozen=True, slots=True)
class Trail:
    kind: type[AuthAudited | UsersAudited]
    outbox: Table

    async def record(
        self,
        connection: AsyncConnection,
        act: Act,
        outcome: ActOutcome = "ok",
        reason: Reason | None = None,
        **concerned: Unpack[Concerned],
    ) -> None:
        event = self.event(act, outcome, reason, **concerned)
        await add(connection, self.outbox, event)
        note(connection, event)

    def event(
        self,
        act: Act,
        outcome: ActOutcome = "ok",
        reason: Reason | None = None,
        **concerned: Unpack[Concerned],
    ) -> Audited:
        """The record alone, to be written with other events: see `outbox_params`."""
        return self.kind(
            occurred_at=datetime.now(UTC),
            act=act,
            outcome=outcome,
            reason=reason,
            account_id=concerned["account"],
            actor_id=concerned.get("actor"),
            session_id=concerned.get("session"),
            address=client_address.get(),
            correlation_id=correlation_id.get(),
        )


def outbox_params(connection: AsyncConnection, event: Audited, *others: Event) -> dict[str, object]:
    """Parameters of `outbox.insert_events` for all these events; `event` is logged after the commit."""
    note(connection, event)
    wake_relay(connection, *others)
    return event_params(*others, event)


def note(connection: AsyncConnection, event: Audited) -> None:
    """Log `event` after the commit; a statement of the caller puts it into the outbox."""
    after_commit(connection, partial(log_committed, event))


def log_committed(event: Audited) -> None:
    _counter(event.service, event.act, event.outcome, event.reason or "").inc()
    # A command of an operator has no log: its standard output is an answer to a person.
    if structlog.is_configured():
        log.info("audit", **event.model_dump(mode="json"))


@cache
def _counter(service: str, act: str, outcome: str, reason: str) -> Counter:
    return ACTS.labels(service, act, outcome, reason)
