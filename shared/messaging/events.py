"""Events between services (JSON: tests/contracts/test_events.py). Fields may be added; a new meaning is a new type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, WithJsonSchema
from uuid_utils.compat import uuid7

from shared.messaging.bus import Message


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


Moment = Annotated[
    AwareDatetime, PlainSerializer(utc, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]


class MalformedEvent(Exception):
    """The body is not this event. The text names the bad fields, never their values."""


class Event(BaseModel):
    """`type`: routing key, publisher first and major version last. A `mandatory` event is kept until it has a queue."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)

    type: ClassVar[str]
    mandatory: ClassVar[bool] = True

    event_id: UUID = Field(default_factory=uuid7)

    def to_body(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Raises `MalformedEvent` if the type or the body is another event's."""
        if message.routing_key != cls.type:
            raise MalformedEvent(f"expected {cls.type}")
        try:
            event = cls.model_validate_json(message.body)
        except ValidationError as error:
            fields = {".".join(map(str, problem["loc"])) or "body" for problem in error.errors()}
            raise MalformedEvent(f"malformed {cls.type}: {', '.join(sorted(fields))}") from None
        if "event_id" not in event.model_fields_set:  # the default is for new events only
            raise MalformedEvent(f"malformed {cls.type}: event_id")
        return event


class OtpRequested(Event):
    """Auth asks for delivery of a one-time password, sealed for `code_context` (shared.sealing)."""

    type: ClassVar[str] = "auth.otp_requested.v1"

    challenge_id: UUID
    account_id: UUID
    email: str
    sealed_code: str
    requested_at: Moment
    expires_at: Moment

    @property
    def code_context(self) -> str:
        """The code opens only in this event, for this mailbox and expiry time."""
        ids = (str(self.event_id), str(self.challenge_id), str(self.account_id))
        return json.dumps(["code", *ids, self.email, utc(self.expires_at)])


class OtpOutcome(Event):
    """A delivery result for the one-time password of the `OtpRequested` event `request_event_id`.

    `deferred`: an attempt failed, another follows. `given_up`, `expired`: none follows. `delivered`: a mail server or
    the file has accepted it. One request may have several, in any order; `attempt` counts from 1.
    """

    type: ClassVar[str] = "notifier.otp_outcome.v1"

    challenge_id: UUID
    request_event_id: UUID
    outcome: Literal["delivered", "deferred", "given_up", "expired"]
    attempt: int
    occurred_at: Moment


class NotifierHeartbeat(Event):
    """The state of a notifier and its mail server, never of a recipient (docs/decisions/0007-back-pressure.md)."""

    type: ClassVar[str] = "notifier.heartbeat.v1"

    instance_id: UUID
    number: int  # from 1
    consuming: bool  # the broker has it as a consumer of the codes
    mail_taken: bool  # the mail server accepts connections, or the file can be written
    lag: float | None = None  # seconds: age of the latest code at its first attempt, if any since the last heartbeat
    occurred_at: Moment


class AccountChanged(Event):
    """A whole account: the highest `incarnation`, then the highest `version` wins (docs/decisions/0014-in-step.md)."""

    type: ClassVar[str] = "users.account_changed.v1"

    account_id: UUID
    incarnation: int
    version: int
    deleted: bool  # then every personal field is empty
    username: str = ""
    email: str = ""
    sealed_password_hash: str = ""  # sealed for `hash_context` (shared.sealing)
    is_2fa: bool = False
    is_admin: bool = False
    is_active: bool = False
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    password_by_mail: bool = False  # the mailbox alone gave the latest password
    session_epoch: int = 0  # sessions of an older epoch are over: docs/decisions/0001-session-epoch.md
    kept_session: UUID | None = None  # the only exception

    @property
    def hash_context(self) -> str:
        """The hash opens only in this event, for this account and version."""
        return json.dumps(["password_hash", str(self.event_id), str(self.account_id), self.incarnation, self.version])


class InStep(Event):
    """All active administrators with their versions; `incarnation`: the latest one with all accounts published."""

    type: ClassVar[str] = "users.in_step.v1"

    moment: Moment  # by the clock of users' database
    incarnation: int
    administrators: tuple[tuple[UUID, int], ...]


class SessionEnded(Event):
    """Auth ended only these sessions. Their access tokens are invalid after `until`, by auth's database clock."""

    type: ClassVar[str] = "auth.session_ended.v1"

    account_id: UUID
    session_ids: Annotated[tuple[UUID, ...], Field(min_length=1)]
    until: Moment
