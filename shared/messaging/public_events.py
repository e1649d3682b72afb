"""Events for programs around us, which name nobody (docs/events.md); the rules of shared.messaging.events hold."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from shared.messaging.events import Event, Moment


class AccountPublic(Event):
    """The state of an account after a change: `deleted` is final, else the highest `version` wins."""

    type: ClassVar[str] = "users.account_public.v1"
    mandatory: ClassVar[bool] = False

    occurred_at: Moment = Field(description="when it was written, by the clock of the process")
    account_id: UUID = Field(description="`sub` of its access tokens")
    version: int = Field(description="higher after each change; the same if the state is published again")
    epoch: int = Field(description="sessions whose access tokens have a lower `epoch` are over")
    kept_session: UUID | None = Field(description="`sid` of the one session of a lower epoch that goes on")
    is_active: bool = Field(description="false: nobody may use the account")
    is_admin: bool
    deleted: bool = Field(description="then `epoch` is 0, and nothing else is true")
