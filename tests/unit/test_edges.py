"""The MAC of an event: by the key of its edge, over all that names it; and the bus that makes and checks it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.fernet import Fernet

from shared.messaging.bus import Message
from shared.messaging.edges import EDGES, EdgeKeys, NoKeys
from shared.messaging.event_types import EVENTS
from shared.messaging.topology import SUBSCRIPTIONS

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SENT = Message(
    routing_key="users.account_changed.v1",
    body=b'{"version":1}',
    event_id="e-1",
    correlation_id="c",
    published_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
)


def keys(*listed: str) -> EdgeKeys:
    return EdgeKeys({"users_to_auth": listed})


def test_every_event_that_one_of_ours_consumes_has_the_edge_from_its_publisher_to_its_consumer() -> None:
    wanted = {
        kind: f"{kind.partition('.')[0]}_to_{each.queue.partition('.')[0]}"
        for each in SUBSCRIPTIONS
        for kind in each.routing_keys
    }
    assert wanted == EDGES
    assert {kind for kind, event in EVENTS.items() if event.mandatory} == set(EDGES)


def test_what_is_signed_is_verified() -> None:
    assert keys(NEW).verify(keys(NEW).signed(SENT))
    assert not keys(NEW).verify(SENT)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"version":2}'},
        {"body": b'{"version": 1}'},
        {"body": b""},
        {"event_id": "e-2"},
        {"published_at": None},
        {"published_at": datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)},
        {"mac": ""},
        {"mac": "é"},
        {"mac": "0" * 64},
    ],
)
def test_what_is_not_as_it_was_signed_is_not_verified(changed: dict[str, object]) -> None:
    signed = keys(NEW).signed(SENT)
    assert not keys(NEW).verify(replace(signed, **changed))  # type: ignore[arg-type] # any field


def test_nor_is_the_mac_of_another_type() -> None:
    both = EdgeKeys({"users_to_auth": [NEW], "auth_to_notifier": [NEW]})
    for kind in ("auth.otp_requested.v1", "auth.notice_requested.v1"):
        assert not both.verify(replace(both.signed(SENT), routing_key=kind))


def test_no_byte_can_move_from_one_part_to_the_next() -> None:
    signed = keys(NEW).signed(replace(SENT, event_id="e", body=b"1{}"))
    assert not keys(NEW).verify(replace(signed, event_id="e1", body=b"{}"))


def test_the_correlation_id_the_attempt_and_a_moment_in_another_notation_of_utc_are_not_covered() -> None:
    moment = SENT.published_at
    assert moment is not None
    signed = keys(NEW).signed(SENT)
    assert keys(NEW).verify(replace(signed, correlation_id="another"))
    assert keys(NEW).verify(replace(signed, published_at=moment.astimezone(timezone(timedelta(0)))))


def test_keys_rotate_with_no_message_between_two_stools() -> None:
    before, known, during, after = keys(OLD), keys(OLD, NEW), keys(NEW, OLD), keys(NEW)
    for sender, receivers in ((before, (known, during)), (known, (before, during)), (during, (known, after))):
        assert all(receiver.verify(sender.signed(SENT)) for receiver in receivers)
    assert not after.verify(before.signed(SENT))


def test_without_the_keys_of_its_edge_nothing_is_signed_or_verified() -> None:
    for kind in ("auth.otp_requested.v1", "nobody.knows_this.v1"):
        with pytest.raises(NoKeys):
            keys(NEW).signed(replace(SENT, routing_key=kind))
        with pytest.raises(NoKeys):
            keys(NEW).verify(replace(SENT, routing_key=kind))


def test_the_audit_trail_is_not_signed() -> None:
    record = replace(SENT, routing_key="users.audit.v1", mandatory=False)
    assert keys(NEW).signed(record) is record
