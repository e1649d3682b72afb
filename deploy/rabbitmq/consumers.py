"""The definitions of a consumer of another team: a user, its queues, and their bindings to public events.

1. The user may read its queues, and nothing else (rule 1 of `grants`). A queue of its own making could refuse messages
   (`x-overflow`), and with them hold up our outbox.
2. A full queue drops its oldest messages: a consumer that is away must not fill the broker's disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from deploy.rabbitmq.definitions import Definitions, UrlInvalid, hash_of
from deploy.rabbitmq.grants import exactly
from deploy.secret_files import create_whole, new_password
from shared.messaging.amqp.topology import UNLIMITED
from shared.messaging.topology import PUBLIC, events_exchange, process_of

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
MOST_BYTES = 64 * 2**20
MOST_CONNECTIONS = 100
AUDIT = tuple(key for key in PUBLIC if key.endswith(".audit.v1"))

_ARGUMENTS: Definitions = {
    "x-queue-type": "quorum",
    "x-max-length-bytes": MOST_BYTES,
    "x-overflow": "drop-head",
    "x-delivery-limit": UNLIMITED,  # else the broker drops an event that a program fails on
}


def url_of(folder: Path, name: str) -> tuple[str, Path | None]:
    """The URL of the consumer's user, and its file if that is new. Raises OSError, `UrlInvalid`."""
    path = folder / f"consumer_{name}_rabbitmq_url"
    ours = urlsplit((folder / "auth_rabbitmq_url").read_text().strip())
    if not ours.hostname:
        raise UrlInvalid("The broker URL of auth needs the form amqp://user:password@host/")
    login = f"{quote(_user(name))}:{quote(new_password(), '')}@"
    made = create_whole(path, ours._replace(netloc=login + ours.netloc.rpartition("@")[2]).geturl())
    return path.read_text().strip(), path if made else None


def definitions(name: str, url: str, *, queues: int, audit: bool) -> Definitions:
    parts = urlsplit(url)
    vhost = unquote(parts.path[1:]) or "/"
    bound = dict(_queues(name, queues, audit=audit))
    return {
        "users": [
            {
                "name": _user(name),
                "password_hash": hash_of(unquote(parts.password or "")),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
                "limits": {"max-connections": MOST_CONNECTIONS},
            }
        ],
        "permissions": [
            {"user": _user(name), "vhost": vhost, "configure": "^$", "write": "^$", "read": exactly(bound)}
        ],
        "queues": [
            {"name": queue, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": _ARGUMENTS}
            for queue in bound
        ],
        "bindings": [
            {
                "source": events_exchange(process_of(key)),
                "vhost": vhost,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for queue, keys in bound.items()
            for key in keys
        ],
    }


def _queues(name: str, count: int, *, audit: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """With their events. The audit trail is apart: a flood of wrong passwords must push out no ended session."""
    for number in range(1, count + 1):
        yield f"{_user(name)}.{number}", tuple(key for key in PUBLIC if key not in AUDIT)
        if audit:
            yield f"{_user(name)}.audit.{number}", AUDIT


def _user(name: str) -> str:
    """No process is called so: neither the user nor its queues can be those of a process."""
    return f"consumer.{name}"
