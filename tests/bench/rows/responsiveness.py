"""Whether a process that hashes passwords still answers: liveness and verify-token, beside the same at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from tests.bench.bench import Bench
from tests.bench.job import Done, Job
from tests.bench.loading import load, request
from tests.bench.measured import Comparison, Result, Sample, Undisturbed, compare, in_turn, percentile
from tests.bench.people import MANY
from tests.bench.rows.logins import logins

_HASHING = 64
_SECONDS = 3.0
# Seconds between two probes, no multiples of each other: else chance decides once whether the two meet every time.
_LIVEZ_EVERY, _CHECK_EVERY = 0.009, 0.011
_BEFORE = 1.0  # seconds from the first login to the first probe
_BUSY, _IDLE = f"{_HASHING} logins hashing", "nothing else to do"


async def liveness(bench: Bench) -> list[Result]:
    """One part of it."""
    await bench.give_passwords()
    await bench.system.start("auth")
    issuer = await bench.system.issuer()
    checks = [request("POST", "/api/v1/auth/verify-token", bearer=issuer.access(number)) for number in range(MANY)]
    probes = {
        "livez": _probe(bench.system.management["auth"], [request("GET", "/livez")], _LIVEZ_EVERY),
        "verify-token": _probe(bench.system.ports["auth"], checks, _CHECK_EVERY),
    }

    seen = {name: _Seen(bench.taken(f"liveness of {name}")) for name in probes}
    undisturbed = Undisturbed(bench.say, again=bench.of_a_part(1))

    def keep(side: str, done: Sequence[Done]) -> Sample:
        p99s = {name: seen[name].add(side, each) for name, each in zip(probes, done, strict=True)}
        return Sample(figures=p99s)

    async def idle() -> Sample:
        return keep(_IDLE, await undisturbed(partial(_probed, probes)))

    async def busy() -> Sample:
        return keep(_BUSY, await undisturbed(partial(_beside_logins, bench, probes)))

    await in_turn({_BUSY: busy, _IDLE: idle}, bench.say, bench.of_a_part(4))
    return [compare(_asked(name), seen[name].samples) for name in probes]


class _Seen:
    """Of one probe."""

    def __init__(self, samples: dict[str, list[Sample]]) -> None:
        self.samples = samples

    def add(self, side: str, done: Done) -> float:
        """The 99th percentile, in milliseconds."""
        p99 = percentile(done.latencies, 99) * 1000
        self.samples[side].append(Sample(figures={"p99": p99}, latencies=done.latencies))
        return p99


def _asked(probe: str) -> Comparison:
    return Comparison(
        row="liveness", what=f"p99 of {probe} with {_BUSY}", ours=_BUSY, limit=_IDLE,
        figure="p99", unit="ms", bound="at most", target=3.0, percentile=99,
    )  # fmt: skip


def _probe(port: int, requests: list[bytes], every: float) -> Job:
    return Job(ports=(port,), requests=requests, connections=4, warm=20, seconds=_SECONDS, every=every)


async def _probed(probes: Mapping[str, Job]) -> list[Done]:
    """Both are asked at once."""
    return await asyncio.gather(*map(load, probes.values()))


async def _beside_logins(bench: Bench, probes: Mapping[str, Job]) -> list[Done]:
    logging_in = asyncio.create_task(_logins(bench))
    try:
        await asyncio.sleep(_BEFORE)
        probed = await _probed(probes)
    finally:
        # A row that has failed must leave no load behind for the next one.
        (ended,) = await asyncio.gather(logging_in, return_exceptions=True)
    if ended is not None:
        raise ended
    return probed


async def _logins(bench: Bench) -> None:
    await load(
        Job(
            ports=(bench.system.ports["auth"],),
            requests=logins(),
            connections=_HASHING,
            tolerated=(503,),  # more than finish in 5 s may not queue: on a busy machine that is less than 64
            warm=0,
            seconds=2 * _BEFORE + _SECONDS,
        )
    )
