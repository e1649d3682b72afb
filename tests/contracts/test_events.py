"""The JSON of every event, to the letter: what one version writes, another version reads.

A change here that is not a new field with a default is a new event type, with the next version number.
"""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import pytest

from shared.messaging.address_events import AccountCodeOutcome, CodeRequested
from shared.messaging.bus import Message
from shared.messaging.event_types import EVENTS
from shared.messaging.events import AccountChanged, Event, MalformedEvent, OtpOutcome, OtpRequested
from tests.contracts.pinned_events import PINNED
from tests.contracts.pinned_ids import ACCOUNT

CANARY = "canary-0123456789"
NAMES = [
    "a requested code", "a changed account", "a deleted account", "users in step", "an outcome",
    "a requested account code", "an invitation", "a notice of auth", "a notice of users", "a heartbeat",
    "an act at auth", "an act at users", "an account code's outcome", "a proved address", "factors", "a new hash",
    "ended sessions", "an account for others",
]  # fmt: skip
each_pinned = pytest.mark.parametrize(("routing_key", "event", "golden"), PINNED, ids=NAMES)


def message(routing_key: str, body: str | bytes) -> Message:
    data = body.encode() if isinstance(body, str) else body
    return Message(routing_key=routing_key, body=data, event_id="e", correlation_id="c")


def refusal(kind: type[Event], body: str | bytes) -> str:
    with pytest.raises(MalformedEvent) as refused:
        kind.from_message(message(kind.type, body))
    assert CANARY not in str(refused.value)
    return str(refused.value)


def event_classes() -> list[type[Event]]:
    return sorted(EVENTS.values(), key=_type)


def _type(kind: type[Event]) -> str:
    return kind.type


def test_every_event_has_a_pinned_example() -> None:
    assert {type(event) for _, event, _ in PINNED} == set(event_classes())


@each_pinned
def test_an_event_is_written_to_the_letter(routing_key: str, event: Event, golden: str) -> None:
    assert type(event).type == routing_key
    assert event.to_body() == golden


@each_pinned
def test_an_event_is_read_from_its_pinned_text(routing_key: str, event: Event, golden: str) -> None:
    assert type(event).from_message(message(routing_key, golden)) == event


@each_pinned
def test_a_field_of_a_later_version_is_ignored(routing_key: str, event: Event, golden: str) -> None:
    later = json.dumps(json.loads(golden) | {"added_later": {"deep": [1, None]}, "type": "other", "": 0})
    assert type(event).from_message(message(routing_key, later)) == event


def test_a_moment_in_another_time_zone_is_written_in_utc() -> None:
    _, event, golden = PINNED[0]
    assert isinstance(event, OtpRequested)
    east = timezone(timedelta(hours=5, minutes=30))
    moved = event.model_copy(
        update={"requested_at": event.requested_at.astimezone(east), "expires_at": event.expires_at.astimezone(east)}
    )
    assert moved.to_body() == golden


def test_a_moment_without_a_time_zone_is_malformed() -> None:
    body = json.loads(PINNED[0][2]) | {"expires_at": "2026-01-31T12:04:00"}
    assert refusal(OtpRequested, json.dumps(body)) == "malformed auth.otp_requested.v1: expires_at"


@pytest.mark.parametrize("kind", [OtpOutcome, AccountCodeOutcome])
def test_an_outcome_knows_four_words_and_nothing_of_the_account(kind: type[OtpOutcome | AccountCodeOutcome]) -> None:
    body = golden_of(kind)
    for word in ("delivered", "deferred", "given_up", "expired"):
        assert kind.from_message(message(kind.type, json.dumps(body | {"outcome": word}))).outcome == word
    assert refusal(kind, json.dumps(body | {"outcome": CANARY})) == f"malformed {kind.type}: outcome"
    assert not {"email", "name", "account_id", "sealed_code", "reason"} & kind.model_fields.keys()


def test_a_requested_account_code_knows_five_purposes_and_no_text_of_whoever_asked() -> None:
    body = golden_of(CodeRequested)
    for word in ("verify", "change", "reset", "register", "invite"):
        said = message(CodeRequested.type, json.dumps(body | {"purpose": word}))
        assert CodeRequested.from_message(said).purpose == word
    assert refusal(CodeRequested, json.dumps(body | {"purpose": CANARY})) == f"malformed {CodeRequested.type}: purpose"
    assert not {"name", "lastname", "username", "text", "invited_by"} & CodeRequested.model_fields.keys()


def test_an_event_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(PINNED[1][1], "version", 9)  # noqa: B010 - mypy would refuse it too


def test_each_new_event_has_an_identity_of_its_own() -> None:
    made = [AccountChanged(account_id=ACCOUNT, incarnation=1, version=1, deleted=True).event_id for _ in range(100)]
    assert len(set(made)) == 100
    assert made == sorted(made)


@each_pinned
def test_the_body_of_another_type_is_malformed(routing_key: str, event: Event, golden: str) -> None:
    others = {"auth.otp_requested.v2", "users.account_changed", "", "*", routing_key + ".v1", *other_types(routing_key)}
    for other in others:
        with pytest.raises(MalformedEvent, match=f"^expected {routing_key}$"):
            type(event).from_message(message(other, golden))


def other_types(routing_key: str) -> set[str]:
    return {each.type for each in event_classes()} - {routing_key}


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "{", CANARY, f'"{CANARY}"', f'["{CANARY}"]', "null", "5", "NaN", '{"event_id"', b"\xff\xfe", b"\0",
        "[" * 5000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", event_classes())
def test_a_body_that_is_no_object_is_malformed(kind: type[Event], body: str | bytes) -> None:
    assert refusal(kind, body) == f"malformed {kind.type}: body"


def required_fields() -> list[tuple[type[Event], str]]:
    return [
        (kind, name) for kind in event_classes() for name, field in kind.model_fields.items() if field.is_required()
    ]


def golden_of(kind: type[Event]) -> dict[str, Any]:
    body: dict[str, Any] = next(json.loads(golden) for _, event, golden in PINNED if type(event) is kind)
    return body


@pytest.mark.parametrize(("kind", "name"), required_fields())
def test_a_missing_field_is_named(kind: type[Event], name: str) -> None:
    body = golden_of(kind)
    del body[name]
    assert refusal(kind, json.dumps(body)) == f"malformed {kind.type}: {name}"


def all_fields() -> list[tuple[type[Event], str]]:
    return [(kind, name) for kind in event_classes() for name in kind.model_fields]


@pytest.mark.parametrize(("kind", "name"), all_fields())
def test_a_field_of_another_type_is_named_and_its_value_is_not_shown(kind: type[Event], name: str) -> None:
    body = golden_of(kind) | {name: {CANARY: [CANARY]}}
    assert refusal(kind, json.dumps(body)) == f"malformed {kind.type}: {name}"


def test_every_field_at_fault_is_named() -> None:
    body = golden_of(OtpRequested) | {"email": 5, "expires_at": CANARY, "account_id": CANARY}
    assert refusal(OtpRequested, json.dumps(body)) == "malformed auth.otp_requested.v1: account_id, email, expires_at"


def test_a_log_of_the_refusal_with_its_stack_does_not_show_values_either() -> None:
    body = golden_of(OtpRequested) | {"expires_at": CANARY}
    with pytest.raises(MalformedEvent) as refused:
        OtpRequested.from_message(message(OtpRequested.type, json.dumps(body)))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_printed_event_is_not_asked_for_secrets_in_clear() -> None:
    fields = {name for kind in event_classes() for name in kind.model_fields}
    secret = {name for name in fields if any(word in name for word in ("code", "password", "secret", "token", "otp"))}
    assert secret == {"sealed_code", "sealed_password_hash", "code_id", "password_by_mail", "recovery_codes_left"}
