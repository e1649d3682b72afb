"""Every event that crosses a service boundary: a frozen fact, in the past tense.

The JSON of each is pinned by tests/contracts/test_events.py. A reader ignores fields it does not know, so a
field may be added; a change of meaning is a new type with the next version number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from uuid_utils.compat import uuid7

from shared.audit_words import Act, ActOutcome, Reason
from shared.messaging.bus import Message


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


Moment = Annotated[AwareDatetime, PlainSerializer(_utc, return_type=str)]


class MalformedEvent(Exception):
    """The body is not this event. The message names the fields at fault, never their values."""


class Event(BaseModel):
    """A fact with an identity; `type` is its routing key: it begins with its publisher and ends in its major version.

    `mandatory`: that no queue is bound for it is a fault, and it is kept until one is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    mandatory: ClassVar[bool] = True

    event_id: UUID = Field(default_factory=uuid7)

    def to_body(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Raises `MalformedEvent` when the type or the body is another one's."""
        if message.routing_key != cls.type:
            raise MalformedEvent(f"expected {cls.type}")
        try:
            event = cls.model_validate_json(message.body)
        except ValidationError as error:
            fields = {".".join(map(str, problem["loc"])) or "body" for problem in error.errors()}
            raise MalformedEvent(f"malformed {cls.type}: {', '.join(sorted(fields))}") from None
        if "event_id" not in event.model_fields_set:  # the default is for writing
            raise MalformedEvent(f"malformed {cls.type}: event_id")
        return event


class OtpRequested(Event):
    """Auth wants a one-time password delivered. `sealed_code` is sealed for `code_context` (shared.sealing)."""

    type: ClassVar[str] = "auth.otp_requested.v1"

    challenge_id: UUID
    account_id: UUID
    email: str
    sealed_code: str
    requested_at: Moment
    expires_at: Moment

    @property
    def code_context(self) -> str:
        return code_context(self.event_id, self.challenge_id, self.account_id, self.email, self.expires_at)


def code_context(event_id: UUID, challenge_id: UUID, account_id: UUID, email: str, expires_at: datetime) -> str:
    """What a sealed code is bound to: it opens in no other event, and goes to no other mailbox, nor later."""
    return json.dumps(["code", str(event_id), str(challenge_id), str(account_id), email, _utc(expires_at)])


class OtpOutcome(Event):
    """What became of the one-time password that the `OtpRequested` event `request_event_id` asked for.

    `deferred`: an attempt failed, the next one follows. `given_up` and `expired`: none follows. `delivered`: somebody
    has taken responsibility for it. One request may have several, in any order; `attempt` counts from 1.
    """

    type: ClassVar[str] = "notifier.otp_outcome.v1"

    challenge_id: UUID
    request_event_id: UUID
    outcome: Literal["delivered", "deferred", "given_up", "expired"]
    attempt: int
    occurred_at: Moment


class NotifierHeartbeat(Event):
    """A notifier lives, and this is how it fares; facts about it and its mail server, never about a recipient.

    `number` counts its beats from 1. `consuming`: the broker has it as a consumer of the codes. `mail_taken`: the mail
    server takes connections (the file, where codes go to one, can be written). `lag` in seconds: how old the code
    was that it was handed last for a first attempt, if there was one since the beat before.
    """

    type: ClassVar[str] = "notifier.heartbeat.v1"

    instance_id: UUID
    number: int
    consuming: bool
    mail_taken: bool
    lag: float | None = None
    occurred_at: Moment


NoticeWord = Literal[
    "password_changed",
    "two_factor_on",
    "two_factor_off",
    "email_changed",
    "username_changed",
    "admin_granted",
    "account_deleted",
    "wrong_passwords",
    "codes_off",
]


class NoticeRequested(Event):
    """The owner of an account is to be told of something, at the address that was theirs then."""

    account_id: UUID
    email: str
    notice: NoticeWord
    occurred_at: Moment
    expires_at: Moment


class AuthNoticeRequested(NoticeRequested):
    type: ClassVar[str] = "auth.notice_requested.v1"


class UsersNoticeRequested(NoticeRequested):
    type: ClassVar[str] = "users.notice_requested.v1"


class AccountChanged(Event):
    """An account is now like this: the whole state, so that the highest `version` alone tells the truth.

    That is so within one `incarnation` of the users database; a higher one comes before any version, see
    docs/decisions/0014-in-step.md. A deletion is a tombstone: `deleted` is true and every personal field is empty.
    `session_epoch` grows when sessions must end; those of older epochs are over, all but `kept_session`: see
    docs/decisions/0001-session-epoch.md. `sealed_password_hash` is sealed for `hash_context` (shared.sealing).
    """

    type: ClassVar[str] = "users.account_changed.v1"

    account_id: UUID
    incarnation: int
    version: int
    deleted: bool
    username: str = ""
    email: str = ""
    sealed_password_hash: str = ""
    is_2fa: bool = False
    is_admin: bool = False
    is_active: bool = False
    session_epoch: int = 0
    kept_session: UUID | None = None

    @property
    def hash_context(self) -> str:
        return hash_context(self.event_id, self.account_id, self.incarnation, self.version)


def hash_context(event_id: UUID, account_id: UUID, incarnation: int, version: int) -> str:
    """What a sealed password hash is bound to: it opens for no other account, nor in another version of this one."""
    return json.dumps(["password_hash", str(event_id), str(account_id), incarnation, version])


class InStep(Event):
    """These are all active administrators, each with its version, by `moment` of the clock of users' database.

    `incarnation`: the latest one of which all accounts have been published.
    """

    type: ClassVar[str] = "users.in_step.v1"

    moment: Moment
    incarnation: int
    administrators: tuple[tuple[UUID, int], ...]


class SessionEnded(Event):
    """Auth has ended these sessions of the account by themselves, and the account has not changed.

    After `until`, by the clock of auth's database, no access token of theirs is good any more.
    """

    type: ClassVar[str] = "auth.session_ended.v1"

    account_id: UUID
    session_ids: Annotated[tuple[UUID, ...], Field(min_length=1)]
    until: Moment


class Audited(Event):
    """Somebody did, or tried to do, something that matters to security (docs/audit.md).

    Every field is an id, a word of a closed list, a moment or an address: nothing that a person has typed.
    """

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


def _with_a_type(kind: type[Event]) -> Iterator[type[Event]]:
    if hasattr(kind, "type"):
        yield kind
    for each in kind.__subclasses__():
        yield from _with_a_type(each)


# All that this version knows, by type.
EVENTS: Final = {each.type: each for each in _with_a_type(Event)}

_MAY_GO_UNHEARD: Final = frozenset(each.type for each in EVENTS.values() if not each.mandatory)


def mandatory(event_type: str) -> bool:
    """What an outbox row of this type asks of the bus; of a type that this version does not know, everything."""
    return event_type not in _MAY_GO_UNHEARD
