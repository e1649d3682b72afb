"""Logins with a password, over kept and over new connections, beside password verifications and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.bench import Bench
from tests.bench.job import Job
from tests.bench.loading import load, request, sample
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import HASH_PARAMETERS, MANY, PASSWORD, username
from tests.bench.workers import Worker

_PATH = "/api/v1/auth/token"
BARE = "bare verifications"
WORKERS = ("auth-a", "auth-b")
_THREADS = 2
WARM = 40
_SECONDS = 2.0
PARAMETERS = "Argon2id {memory_kib} KiB, {passes} passes, {lanes} lane".format(**HASH_PARAMETERS)


async def login(bench: Bench) -> list[Result]:
    """Two processes of auth on two ports, 16 of the 32 connections to each."""
    await bench.give_passwords()
    await bench.system.stop("auth")
    await bench.system.start(*WORKERS)
    ports, pids = [bench.system.ports[name] for name in WORKERS], bench.system.pids(*WORKERS)
    async with Worker("tests.bench.limits.hashing") as hashing:
        sides = {
            "kept connections": _logins(bench, ports, pids, kept=True),
            BARE: verifications(bench, hashing),
            "new connections": _logins(bench, ports, pids, kept=False),
        }
        samples = await in_turn(sides, bench.say, bench.rounds)
    await bench.system.stop(*WORKERS)
    ours = [side for side in sides if side != BARE]
    return [compare(asked, samples) for asked in [*map(_rate, ours), *map(_processor_time, ours)]]


def logins(*, kept: bool = True, numbers: range = range(MANY)) -> list[bytes]:
    return [
        request("POST", _PATH, body={"username": username(number), "password": PASSWORD}, form=True, kept=kept)
        for number in numbers
    ]


def _logins(bench: Bench, ports: Sequence[int], pids: Sequence[int], *, kept: bool) -> Side:
    """32 of them are under way: a shorter turn than this would be their coming and going and nothing else."""
    job = Job(
        ports=tuple(ports),
        requests=logins(kept=kept),
        kept=kept,
        warm=WARM,
        seconds=_SECONDS,
        watched=bench.watched(pids),
    )

    async def side() -> Sample:
        return sample(await load(job))

    return side


def _rate(side: str) -> Comparison:
    return Comparison(
        row="login", what=f"{side}; {PARAMETERS}", ours=side, limit=BARE,
        figure="rate", unit="logins/s", bound="at least", target=0.90,
    )  # fmt: skip


def _processor_time(side: str) -> Comparison:
    return Comparison(
        row="login-cpu", what=f"{side}; {PARAMETERS}", ours=side, limit=BARE,
        figure="process", unit="µs of processor time", bound="at most", target=1.08,
    )  # fmt: skip


def verifications(bench: Bench, hashing: Worker) -> Side:
    async def side() -> Sample:
        done = await hashing.ask(hashes=bench.hashes(), password=PASSWORD, seconds=_SECONDS, threads=_THREADS)
        return Sample(figures={"rate": done["count"] / done["seconds"], "process": done["cpu"] / done["count"] * 1e6})

    return side
