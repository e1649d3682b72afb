"""What was measured: rounds in turn, medians with minimum and maximum, ratios, and the verdict."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from tests.bench import cpu

ROUNDS = 5

# Of a turn that is taken again: the part of its time that others had the processors.
_DISTURBED = 0.01

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The figures of one round of one side, by name."""

    figures: Mapping[str, float]
    latencies: Sequence[float] = ()


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`ours` against `limit`, two sides, in one `figure`; `target` bounds the ratio from below or above.

    `beyond`: not the ratio but the difference is bounded, in the unit of the figure.
    `percentile`: the figure is this one of the latencies, in milliseconds: a round has too few of them for it, so it
    is that of all rounds together.
    `cpu`: the figures that are the processor time of this row, in microseconds each time.
    """

    row: str
    what: str
    ours: str
    limit: str
    figure: str
    unit: str
    bound: Literal["at least", "at most"]
    target: float
    beyond: bool = False
    percentile: float | None = None
    cpu: Sequence[str] = ("process",)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    row: str
    what: str
    unit: str
    ours: Spread
    limit: Spread
    ratio: Spread
    bound: str
    target: float
    reached: bool
    beyond: bool = False
    cpu_ours: float | None = None
    cpu_limit: float | None = None
    note: str = ""
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    more: Mapping[str, Spread] = field(default_factory=dict)


Side = Callable[[], Awaitable[Sample]]


def turns(sides: Iterable[str], rounds: int) -> Iterator[str]:
    """Every side once in each round; every second round the other way round, so that no side always comes first."""
    names = list(sides)
    for number in range(rounds):
        yield from names if number % 2 == 0 else names[::-1]


async def in_turn(
    sides: Mapping[str, Side], say: Callable[[str], None], rounds: int = ROUNDS
) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for name in turns(sides, rounds):
        samples[name].append(await sides[name]())
        say_at_times(say, samples, rounds)
    return samples


class Undisturbed:
    """Turns in which the machine was ours: else one bad second decides a percentile near the end.

    Whether it was is the kernel's word (the time that is stolen of a virtual machine), and not that of the figures.
    `again`: so many turns are taken again in all, and then they stay as they are: a row has an end on any machine.
    """

    def __init__(self, say: Callable[[str], None], again: int, stolen: Callable[[], float] = cpu.stolen) -> None:
        self._say = say
        self._again = again
        self._stolen = stolen

    async def __call__(self, take: Callable[[], Awaitable[T]]) -> T:
        while True:
            began, before = time.monotonic(), self._stolen()
            taken = await take()
            lost = self._stolen() - before
            if lost <= _DISTURBED * (time.monotonic() - began) or not self._again:
                return taken
            self._again -= 1
            self._say(f"taken again: others had the processors for {lost:.2f} s of this turn")


def say_at_times(say: Callable[[str], None], samples: Mapping[str, Sequence[Sample]], rounds: int) -> None:
    """At the end of a round, five times of all."""
    ended = min(map(len, samples.values()))
    if ended == max(map(len, samples.values())) and ended % max(1, rounds // 5) == 0:
        say(f"round {ended} of {rounds}: {_in_short(samples)}")


def _in_short(samples: Mapping[str, Sequence[Sample]]) -> str:
    firsts = {name: next(iter(taken[-1].figures.items())) for name, taken in samples.items()}
    return ", ".join(f"{name} {value:,.4g} ({figure})" for name, (figure, value) in firsts.items())


def compare(asked: Comparison, samples: Mapping[str, Sequence[Sample]]) -> Result:
    """The ratio is that of each round, so that what slows the machine for a while slows both."""
    each_of_ours = [each.figures[asked.figure] for each in samples[asked.ours]]
    each_limit = [each.figures[asked.figure] for each in samples[asked.limit]]
    pairs = zip(each_of_ours, each_limit, strict=True)
    ours, limit = spread(each_of_ours), spread(each_limit)
    ratio = spread([one - other if asked.beyond else one / other for one, other in pairs])
    if asked.percentile is not None:
        ours, limit = (
            replace(found, median=percentile(_all_latencies(samples[side]), asked.percentile) * 1000)
            for side, found in ((asked.ours, ours), (asked.limit, limit))
        )
        ratio = replace(ratio, median=ours.median / limit.median)
    return Result(
        row=asked.row,
        what=asked.what,
        unit=asked.unit,
        ours=ours,
        limit=limit,
        ratio=ratio,
        bound=asked.bound,
        target=asked.target,
        reached=reached(ratio.median, asked.bound, asked.target),
        beyond=asked.beyond,
        cpu_ours=_cpu(samples[asked.ours], asked.cpu),
        cpu_limit=_cpu(samples[asked.limit], asked.cpu),
        note=asked.note,
        latencies={side: _all_latencies(samples[side]) for side in (asked.ours, asked.limit)},
        more={f"{side} {name}": found for side in (asked.ours, asked.limit) for name, found in _more(samples[side])},
    )


def reached(ratio: float, bound: str, target: float) -> bool:
    return ratio >= target if bound == "at least" else ratio <= target


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], part: float) -> float:
    """The nearest rank: a value that was measured, never one between two."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * part // 100) - 1)]


def _cpu(samples: Sequence[Sample], names: Sequence[str]) -> float | None:
    found = [sum(each.figures.get(name, 0.0) for name in names) for each in samples]
    return statistics.median(found) if any(found) else None


def _all_latencies(samples: Sequence[Sample]) -> list[float]:
    return [latency for each in samples for latency in each.latencies]


def _more(samples: Sequence[Sample]) -> list[tuple[str, Spread]]:
    names = samples[0].figures
    return [(name, spread([each.figures[name] for each in samples])) for name in names]
