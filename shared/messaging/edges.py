"""An event is believed for its MAC, not for where it lay: HMAC-SHA256 by the key of its edge.

An edge leads from the service that publishes an event to the one that consumes it, and these two alone have its keys:
the broker can make no event, and a service can make none of another's.

A MAC says who wrote an event, not that it is new. Consumers cope with repeats, so an event that means "now" has to
carry its moment in its body.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, Self, get_args

from pydantic import SecretStr

from shared.messaging.bus import BusError, Message

Edge = Literal["users_to_auth", "auth_to_users", "auth_to_notifier", "users_to_notifier", "notifier_to_auth"]

# By type. The audit trail is for queues of somebody else's: nobody of ours consumes it, and it is not signed.
EDGES: Final[Mapping[str, Edge]] = {
    "users.account_changed.v1": "users_to_auth",
    "users.in_step.v1": "users_to_auth",
    "auth.session_ended.v1": "auth_to_users",
    "auth.otp_requested.v1": "auth_to_notifier",
    "auth.notice_requested.v1": "auth_to_notifier",
    "users.notice_requested.v1": "users_to_notifier",
    "notifier.otp_outcome.v1": "notifier_to_auth",
    "notifier.heartbeat.v1": "notifier_to_auth",
}


class NoKeys(BusError):
    """This process has no keys of the event's edge, or its version does not know the event."""


class EdgeKeys:
    """The keys of a process's own edges. Of several keys of one edge the first signs, and any verifies.

    Each is as `login2fa keys sealing` prints it: 32 bytes, URL-safe base64. They rotate as those of `Sealer` do.
    """

    def __init__(self, keys: Mapping[Edge, Sequence[str]]) -> None:
        self._keys = {edge: [base64.urlsafe_b64decode(key) for key in listed] for edge, listed in keys.items()}

    @classmethod
    def of(cls, settings: object) -> Self:
        """From the fields `<edge>_keys` that `settings` has."""
        fields: dict[Edge, list[SecretStr]] = {edge: getattr(settings, f"{edge}_keys", []) for edge in get_args(Edge)}
        return cls({edge: [key.get_secret_value() for key in listed] for edge, listed in fields.items() if listed})

    def of_type(self, event_type: str) -> Sequence[bytes]:
        """Raises `NoKeys`."""
        edge = EDGES.get(event_type)
        if edge is None or edge not in self._keys:
            raise NoKeys(f"no keys for {event_type}")
        return self._keys[edge]

    def signed(self, message: Message) -> Message:
        """With its MAC; as it is, when nobody need hear it and it has no edge. Raises `NoKeys`."""
        if message.routing_key not in EDGES and not message.mandatory:
            return message
        return replace(message, mac=_mac(self.of_type(message.routing_key)[0], _covered(message)))

    def verify(self, message: Message) -> bool:
        """Whether its MAC is that of its type, event id, moment of publication and body. Raises `NoKeys`."""
        keys, given, covered = self.of_type(message.routing_key), message.mac.encode(), _covered(message)
        return any(hmac.compare_digest(_mac(key, covered).encode(), given) for key in keys)


def _mac(key: bytes, covered: bytes) -> str:
    return hmac.digest(key, covered, "sha256").hex()


def _covered(message: Message) -> bytes:
    """Each part behind its length: no two messages give the same bytes."""
    published_at = message.published_at.isoformat() if message.published_at else ""
    parts = (message.routing_key.encode(), message.event_id.encode(), published_at.encode(), message.body)
    return b"".join(len(part).to_bytes(8) + part for part in parts)
