"""What a load is asked for, and what it has seen (tests.bench.load)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# From the number of a request and its answer: the request that follows it. It goes to another process: pickled.
Following = Callable[[int, bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Job:
    """`requests` are sent in their order, over and over, or each `once` at most; connections are spread over `ports`.

    The first `warm` answers are not counted. Then it ends after so many `seconds` or answers (`count`). With `every`
    a request begins each so many seconds, whatever became of those before. Any status but `expect` ends it; one
    that is `tolerated` makes its connection wait a while. `watched`: whose processor time to count. `apart`: those that
    have a processor for themselves, and the load the others: each processor in its turn. `following`: each request has
    a second one, and both count as one, over the same connection.
    """

    ports: tuple[int, ...]
    requests: list[bytes]
    connections: int = 32
    kept: bool = True
    once: bool = False
    expect: int = 200
    tolerated: tuple[int, ...] = ()
    warm: int = 200
    seconds: float | None = None
    count: int | None = None
    every: float | None = None
    watched: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    apart: tuple[int, ...] = ()
    following: Following | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """`latencies` in seconds; `answered` has the number of each request, and the moment of its whole answer."""

    count: int
    seconds: float
    statuses: dict[str, int]
    wrong: str
    latencies: list[float]
    answered: list[tuple[int, float]]
    cpu: dict[str, float]
