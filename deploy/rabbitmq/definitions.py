"""The definitions for RabbitMQ: users, permissions, exchanges, queues and bindings, all from the topology."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from deploy.rabbitmq.grants import USERS_OF_BROKER, exactly, grant
from shared.messaging.amqp import topology

Definitions = dict[str, Any]

_SALT_BYTES = 4


class UrlInvalid(Exception):
    """The text names the URL, but not its password."""


@dataclass(frozen=True, slots=True)
class BrokerUser:
    role: str
    name: str
    password: str
    vhost: str


def broker_users(urls: Mapping[str, str]) -> list[BrokerUser]:
    """`urls` by role. Raises `UrlInvalid`."""
    users = [_user(role, urls[role]) for role in USERS_OF_BROKER]
    if len({user.vhost for user in users}) > 1:
        raise UrlInvalid("The broker URLs name more than one virtual host")
    if len({user.name for user in users}) < len(users):
        raise UrlInvalid("Two of the broker URLs name the same user: each process needs its own")
    return users


def _user(role: str, url: str) -> BrokerUser:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UrlInvalid(f"The broker URL of {role} is no URL") from None
    if parts.scheme not in ("amqp", "amqps") or not parts.username or not parts.password:
        raise UrlInvalid(f"The broker URL of {role} needs the form amqp://user:password@host/")
    return BrokerUser(role, unquote(parts.username), unquote(parts.password), unquote(parts.path[1:]) or "/")


def definitions(users: list[BrokerUser], known: Mapping[str, str]) -> Definitions:
    """`known`: password hashes by user name. A hash that still matches is kept, so that the file stays the same."""
    (vhost,) = {user.vhost for user in users}
    return {
        "users": [_with_hash(user, known.get(user.name, "")) for user in users],
        "vhosts": [{"name": vhost}],
        "permissions": [_permission(user) for user in users],
        "topic_permissions": [each for user in users for each in _topic_permissions(user)],
        "exchanges": [
            {"name": name, "vhost": vhost, "type": "topic", "durable": True, **_NO_MORE, "internal": False}
            for name in topology.exchanges()
        ],
        "queues": [
            {"name": name, "vhost": vhost, "durable": True, **_NO_MORE, "arguments": arguments}
            for name, arguments in topology.queues().items()
        ],
        "bindings": [_binding(each, vhost) for each in topology.bindings()],
    }


_NO_MORE: Definitions = {"auto_delete": False, "arguments": {}}


def _with_hash(user: BrokerUser, known: str) -> Definitions:
    return {
        "name": user.name,
        "password_hash": known if _is_hash_of(user.password, known) else hash_of(user.password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(grant(user.role).tags),
    }


def hash_of(password: str, salt: bytes | None = None) -> str:
    """As `rabbitmqctl hash_password` does it."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _is_hash_of(password: str, known: str) -> bool:
    try:
        salt = base64.b64decode(known, validate=True)[:_SALT_BYTES]
    except ValueError:
        return False
    return secrets.compare_digest(hash_of(password, salt), known)


def _permission(user: BrokerUser) -> Definitions:
    allowed = grant(user.role)
    return {
        "user": user.name,
        "vhost": user.vhost,
        "configure": exactly([]),
        "write": exactly(allowed.writes),
        "read": exactly(allowed.reads),
    }


def _topic_permissions(user: BrokerUser) -> list[Definitions]:
    return [
        {
            "user": user.name,
            "vhost": user.vhost,
            "exchange": exchange,
            "write": exactly(routing_keys),
            "read": exactly([]),
        }
        for exchange, routing_keys in grant(user.role).writes.items()
    ]


def _binding(binding: topology.Binding, vhost: str) -> Definitions:
    return {
        "source": binding.exchange,
        "vhost": vhost,
        "destination": binding.queue,
        "destination_type": "queue",
        "routing_key": binding.routing_key,
        "arguments": {},
    }


def as_text(content: Definitions) -> str:
    return json.dumps(content, indent=1) + "\n"


def known_hashes(text: str) -> dict[str, str]:
    """The hashes in a definitions file, by user name; empty if the file is not ours."""
    try:
        users: Iterable[Definitions] = json.loads(text)["users"]
        return {str(user["name"]): str(user["password_hash"]) for user in users}
    except (ValueError, KeyError, TypeError):
        return {}
