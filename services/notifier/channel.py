"""What delivers a code or a notice, and the ways in which that can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from services.notifier.reach import Reach
from services.notifier.turns import Turn
from shared.messaging.events import NoticeWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One code to one person. `event_id` is the same on every repeat, and so is the message's identity."""

    event_id: str
    correlation_id: str
    email: str
    code: str = field(repr=False)
    requested_at: datetime
    expires_at: datetime


# No event asks for the test: an operator does (services.notifier.trial).
Said = NoticeWord | Literal["mail_test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice to one person."""

    event_id: str
    correlation_id: str
    email: str
    notice: Said
    occurred_at: datetime
    expires_at: datetime


class DeliveryFailed(Exception):
    """The text is a reason for the log and the dead-letter listing. It never holds an address or the code.

    What a server has said is in it as `server_words` leaves it.
    """


class TryLater(DeliveryFailed):
    """Refused connection, name or sender, time-out, 4xx, full disk: the next attempt may succeed."""


class WillNotDeliver(DeliveryFailed):
    """5xx to the recipient or the mail: no attempt with this message can succeed."""


class CredentialsRefused(DeliveryFailed):
    """The mail server refuses *us* (530, 535): not the message's fault, so it must not be burnt."""


class Channel(Protocol):
    reach: Reach

    async def deliver(self, delivery: Delivery | Notice, turn: Turn) -> None:
        """Returns once the other side has taken responsibility. Raises `DeliveryFailed`."""

    async def probe(self) -> None:
        """Find out whether a delivery would get as far as its recipient: see `reach`. Raises `DeliveryFailed`."""

    async def close(self) -> None: ...
