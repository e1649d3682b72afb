"""The permissions of each broker user: exactly what the topology says, and so nothing in the name of another.

1. Nobody may configure. A queue that one may declare can be given a dead-letter exchange and a routing key of one's
   choice, and the broker moves messages there without asking for the topic permission.
2. Nobody may write to the default exchange: it leads to every queue, and has no permissions by routing key.
3. A process writes to exchanges of its own only. Up to RabbitMQ 4.0.3 the topic permission is asked for the routing
   key alone, and not for those in the headers CC and BCC, which the message takes as well.
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
    """`writes` has the routing keys by exchange; `reads` are queues."""

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
    """Lists, replays and purges dead letters; sees the management page, with what this user may do anyway."""
    back = {returns_exchange(process): tuple(each.queue for each in consumed_by(process)) for process in PROCESSES}
    return Grant(back, tuple(each.dead_queue for each in SUBSCRIPTIONS), ("monitoring",))


def exactly(names: Iterable[str]) -> str:
    """A regular expression that matches these names and no other; an unanchored one would match any part."""
    alternatives = "|".join(map(re.escape, names))
    return rf"\A(?:{alternatives})\z" if alternatives else "^$"
