"""Signs and checks events: HMAC-SHA256 with the keys of an edge, which only its publisher and its consumer have.

So neither the broker nor another service can forge an event (docs/decisions/0012-event-macs.md). A MAC does not prove
that an event is new: consumers cope with repeats, and an event that means "now" carries its time in its body.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, Self, get_args

from pydantic import SecretStr

from shared.messaging.bus import BusError, Message

Edge = Literal[
    "users_to_auth", "auth_to_users", "auth_to_notifier", "users_to_notifier", "notifier_to_auth", "notifier_to_users"
]

# By type. Audit events are for operators' queues only: no service consumes them, so they are not signed.
EDGES: Final[Mapping[str, Edge]] = {
    "users.account_changed.v1": "users_to_auth",
    "users.in_step.v1": "users_to_auth",
    "auth.session_ended.v1": "auth_to_users",
    "auth.address_proved.v1": "auth_to_users",
    "auth.factors_changed.v1": "auth_to_users",
    "auth.password_rehashed.v1": "auth_to_users",
    "auth.otp_requested.v1": "auth_to_notifier",
    "auth.notice_requested.v1": "auth_to_notifier",
    "users.notice_requested.v1": "users_to_notifier",
    "users.code_requested.v1": "users_to_notifier",
    "notifier.otp_outcome.v1": "notifier_to_auth",
    "notifier.account_code_outcome.v1": "notifier_to_users",
    "notifier.heartbeat.v1": "notifier_to_auth",
}


class NoKeys(BusError):
    """This process has no keys for the event's edge, or does not know the event."""


class EdgeKeys:
    """32-byte keys in URL-safe base64 (`login2fa keys sealing`): the first key of an edge signs, all verify."""

    def __init__(self, keys: Mapping[Edge, Sequence[str]]) -> None:
        self._keys = {edge: [base64.urlsafe_b64decode(key) for key in listed] for edge, listed in keys.items()}

    @classmethod
    def of(cls, settings: object) -> Self:
        fields: dict[Edge, list[SecretStr]] = {edge: getattr(settings, f"{edge}_keys", []) for edge in get_args(Edge)}
        return cls({edge: [key.get_secret_value() for key in listed] for edge, listed in fields.items() if listed})

    def of_type(self, event_type: str) -> Sequence[bytes]:
        """Raises `NoKeys`."""
        edge = EDGES.get(event_type)
        if edge is None or edge not in self._keys:
            raise NoKeys(f"no keys for {event_type}")
        return self._keys[edge]

    def signed(self, message: Message) -> Message:
        """Add the MAC; an event without an edge that is not mandatory stays unsigned. Raises `NoKeys`."""
        if message.routing_key not in EDGES and not message.mandatory:
            return message
        return replace(message, mac=_mac(self.of_type(message.routing_key)[0], _covered(message)))

    def verify(self, message: Message) -> bool:
        """Whether the MAC fits the type, event id, publication time and body. Raises `NoKeys`."""
        keys, given, covered = self.of_type(message.routing_key), message.mac.encode(), _covered(message)
        return any(hmac.compare_digest(_mac(key, covered).encode(), given) for key in keys)


def _mac(key: bytes, covered: bytes) -> str:
    return hmac.digest(key, covered, "sha256").hex()


def _covered(message: Message) -> bytes:
    """Each part follows its length, so different messages never give the same bytes."""
    published_at = message.published_at.isoformat() if message.published_at else ""
    parts = (message.routing_key.encode(), message.event_id.encode(), published_at.encode(), message.body)
    return b"".join(len(part).to_bytes(8) + part for part in parts)
