"""Events of the factors that auth owns; the rules of shared.messaging.events hold."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from shared.messaging.events import Event, Moment

EnrolledFactor = Literal["passkey", "totp", "recovery"]


class FactorsChanged(Event):
    """All factors of an account, the strongest first: the highest `version` wins. Sent again after each
    `AccountChanged` of an account that has had any, so a restored database of users learns them too.
    """

    type: ClassVar[str] = "auth.factors_changed.v1"

    account_id: UUID
    version: int
    methods: tuple[EnrolledFactor, ...]
    occurred_at: Moment
