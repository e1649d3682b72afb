"""The interface that delivers mails, and its failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from services.notifier.reach import Reach
from services.notifier.turns import Turn
from shared.messaging.address_events import CodePurpose
from shared.messaging.notice_events import NoticeWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A login code. `event_id` is the same on every retry, and so is the `Message-ID` of the mail."""

    event_id: str
    correlation_id: str
    email: str
    code: str = field(repr=False)
    requested_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCode:
    """A code that proves an address: ten characters, as users compares them."""

    event_id: str
    correlation_id: str
    email: str
    purpose: CodePurpose
    code: str = field(repr=False)
    requested_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`mail_test` comes from an operator (services.mail_commands), not from an event."""

    event_id: str
    correlation_id: str
    email: str
    notice: NoticeWord | Literal["mail_test"]
    recovery_codes_left: int | None = None
    occurred_at: datetime
    expires_at: datetime


Mail = Delivery | AccountCode | Notice


class DeliveryFailed(Exception):
    """The text goes to the log and the dead letters: no address, no code; server replies pass `server_words`."""


class TryLater(DeliveryFailed):
    """Connection, name or sender refused, time-out, 4xx, disk full: a retry may succeed."""


class InDoubt(TryLater):
    """The whole mail went out, and no answer came: it may have been taken. Another way could send it twice."""


class WillNotDeliver(DeliveryFailed):
    """5xx to the recipient or the mail: no retry can succeed."""


class CredentialsRefused(DeliveryFailed):
    """The mail server refuses our login (530, 534, 535, 538): the message is not at fault and must be retried."""


class Channel(Protocol):
    reach: Reach

    async def deliver(self, mail: Mail, turn: Turn) -> str:
        """Returns once the mail server has accepted the mail, or the file the line; what it said, for the log.

        Raises `DeliveryFailed`.
        """

    async def probe(self) -> None:
        """Tests the connection and the login, or the file, and updates `reach`. Raises `DeliveryFailed`."""

    async def close(self) -> None: ...
