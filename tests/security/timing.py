"""Samples of durations, and whether two can be told apart: the two-sample Kolmogorov-Smirnov test."""

from __future__ import annotations

import asyncio
import math
import random
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import combinations

SIGNIFICANT = 0.01
_TERMS = 100


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference of the two distribution functions, 0 to 1."""
    one, other = sorted(one), sorted(other)
    return max(abs(bisect_right(one, x) / len(one) - bisect_right(other, x) / len(other)) for x in (*one, *other))


def p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """How often chance alone gives such a distance, by Kolmogorov's limit with Stephens' correction."""
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    scaled = (size + 0.12 + 0.11 / size) * distance(one, other)
    if scaled < 0.2:  # the series does not converge here, and the value is 1
        return 1.0
    terms = ((1.0 if k % 2 else -1.0) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, _TERMS))
    return min(1.0, max(0.0, 2 * sum(terms)))


def p_values(samples: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], float]:
    """For each pair of kinds, corrected for the number of pairs (Bonferroni)."""
    pairs = [*combinations(sorted(samples), 2)]
    return {(one, other): min(1.0, p_value(samples[one], samples[other]) * len(pairs)) for one, other in pairs}


def told_apart(samples: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    return [pair for pair, p in p_values(samples).items() if p < SIGNIFICANT]


Samples = dict[str, list[float]]

_AT_ONCE = 4


async def sample(kinds: Sequence[str], size: int, seed: int, once: Callable[[str, int], Awaitable[None]]) -> Samples:
    """Seconds of `size` requests of each kind, in random order, several at once: what disturbs, disturbs all.

    `once` makes the request of a kind with a number below `size`.
    """
    waiting = [(kind, number) for kind in kinds for number in range(size)]
    random.Random(seed).shuffle(waiting)
    samples: Samples = defaultdict(list)

    async def client_of_some() -> None:
        while waiting:
            kind, number = waiting.pop()
            began = time.perf_counter()
            await once(kind, number)
            samples[kind].append(time.perf_counter() - began)

    await asyncio.gather(*(client_of_some() for _ in range(_AT_ONCE)))
    return samples


def figures(samples: Samples) -> str:
    medians = {kind: f"{sorted(sample)[len(sample) // 2] * 1000:.1f} ms" for kind, sample in samples.items()}
    return f"medians {medians}, p (of three pairs) {p_values(samples)}"
