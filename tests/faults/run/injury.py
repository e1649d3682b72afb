"""One fault of a run: what is done, for how long, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.faults.run.world import World

Do = Callable[[World], AbstractAsyncContextManager[None]]

# Seconds until all is well, on a machine of two cores that runs all of this and the clients too.
REPLICA, BROKER, DATABASE, NETWORK, MAIL = 15.0, 15.0, 10.0, 15.0, 10.0


@dataclass(frozen=True)
class Injury:
    """`whom` are the replicas whose answers it may cost; `bound` is how many seconds after its end all must be well.

    `doubles` is how many mails too many one code may come in.
    """

    kind: str
    do: Do
    seconds: float
    bound: float
    whom: frozenset[str] = frozenset()
    doubles: int = 1
