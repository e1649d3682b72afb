"""Events of the audit trail (docs/audit.md); the rules of shared.messaging.events hold."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from shared.audit_words import Act, ActOutcome, Reason
from shared.messaging.events import Event, Moment


class Audited(Event):
    """A security-relevant act, done or tried (docs/audit.md). No field holds text that a person typed."""

    mandatory: ClassVar[bool] = False

    occurred_at: Moment
    service: Literal["auth", "users"]
    act: Act
    outcome: ActOutcome
    reason: Reason | None = None
    account_id: UUID | None = None
    actor_id: UUID | None = None
    session_id: UUID | None = None
    address: str = ""
    correlation_id: str = "-"


class AuthAudited(Audited):
    type: ClassVar[str] = "auth.audit.v1"

    service: Literal["auth"] = "auth"


class UsersAudited(Audited):
    type: ClassVar[str] = "users.audit.v1"

    service: Literal["users"] = "users"
