"""The permissions of each broker user: exactly those that the topology needs.

1. Nobody may configure: a declared queue could dead-letter to any exchange and key, without the topic permission.
2. Nobody may write to the default exchange: it leads to every queue, and has no permissions by routing key.
3. A process writes only to its own exchanges: RabbitMQ up to 4.0.3 does not check the routing keys in CC and BCC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.messaging.topology import (
    PROCESSES,
    SUBSCRIPTIONS,
    consumed_by,
    events_exchange,
    published_by,
    returns_exchange,
)

OPERATOR = "operator"
USERS_OF_BROKER = (*PROCESSES, OPERATOR)


@dataclass(frozen=True, slots=True)
class Grant:
    """`writes`: routing keys by exchange. `reads`: queues."""

    writes: Mapping[str, tuple[str, ...]]
    reads: tuple[str, ...]
    tags: tuple[str, ...] = field(default=())


def grant(user: str) -> Grant:
    return _operator() if user == OPERATOR else _process(user)


def _process(process: str) -> Grant:
    consumed = consumed_by(process)
    copies = tuple(queue for each in consumed for queue in (each.dead_queue, *each.retry_queues))
    return Grant(
        {events_exchange(process): published_by(process), returns_exchange(process): copies},
        tuple(each.queue for each in consumed),
    )


def _operator() -> Grant:
    """Lists, replays and purges dead letters. `monitoring` opens the management page."""
    back = {returns_exchange(process): tuple(each.queue for each in consumed_by(process)) for process in PROCESSES}
    return Grant(back, tuple(each.dead_queue for each in SUBSCRIPTIONS), ("monitoring",))


def exactly(names: Iterable[str]) -> str:
    """A regular expression for exactly these names; without anchors it would match any part of a name."""
    alternatives = "|".join(map(re.escape, names))
    return rf"\A(?:{alternatives})\z" if alternatives else "^$"
