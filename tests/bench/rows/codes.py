"""How long a code takes, from the login's answer to the mail server, at a quiet pace."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench.bench import Bench
from tests.bench.events import forget
from tests.bench.job import Job
from tests.bench.limits.web import POOL
from tests.bench.loading import load
from tests.bench.measured import Comparison, Result, Sample, Side, Undisturbed, compare, in_turn, percentile
from tests.bench.people import MANY, username
from tests.bench.rows.logins import logins
from tests.bench.workers import Worker
from tests.polling import eventually
from tests.servers.databases import asyncpg_dsn

RATE = 10
_COUNT = 25  # a turn
_WARM = 3


async def latency(bench: Bench) -> list[Result]:
    """One part of it."""
    taken = bench.taken("code-latency")
    await bench.give_passwords()
    await forget(bench.system)
    await bench.system.start("auth", "notifier")
    await bench.system.until_it_delivers()
    dsn, amqp_url = asyncpg_dsn(bench.system.databases.admin_url), bench.system.amqp_url
    places = (dsn, amqp_url, "bench.chain", str(bench.sink.ready["port"]))
    async with Worker("tests.bench.limits.chain", *places) as chain:
        sides = {"product": _ours(bench, _slices()), "bare chain": _bare(bench, chain)}
        undisturbed = Undisturbed(bench.say, again=bench.of_a_part(2))
        calm = {name: partial(undisturbed, side) for name, side in sides.items()}
        for name, samples in (await in_turn(calm, bench.say, bench.of_a_part(8))).items():
            taken[name] += samples
    what = f"commit, publish, consume, SMTP; {RATE} logins/s"
    return [
        compare(
            Comparison(
                row="code-latency", what=f"{figure}: {what}", ours="product", limit="bare chain",
                figure=figure, unit="ms", bound="at most", target=target, percentile=rank,
            ),
            taken,
        )
        for figure, rank, target in (("p50", 50, 1.3), ("p99", 99, 2.0))
    ]  # fmt: skip


def _slices() -> Iterator[range]:
    """Other accounts in each round: a limit of codes for each holds as in production."""
    while True:
        for first in range(MANY, 2 * MANY - _WARM - _COUNT, _WARM + _COUNT):
            yield range(first, first + _WARM + _COUNT)


def _ours(bench: Bench, slices: Iterator[range]) -> Side:
    async def side() -> Sample:
        await bench.sink.ask(do="reset")
        numbers = next(slices)
        job = Job(
            ports=(bench.system.ports["auth"],),
            requests=logins(numbers=numbers),
            connections=POOL,
            warm=_WARM,
            count=_COUNT,
            every=1 / RATE,
        )
        done = await load(job)
        arrivals = await _arrived(bench, _WARM + _COUNT)
        late = [arrivals[username(numbers[number])] - moment for number, moment in done.answered]
        return _sample(late)

    return side


def _bare(bench: Bench, chain: Worker) -> Side:
    async def side() -> Sample:
        await bench.sink.ask(do="reset")
        committed = (await chain.ask(count=_WARM + _COUNT, rate=RATE))["committed"]
        arrivals = await _arrived(bench, _WARM + _COUNT)
        return _sample([arrivals[recipient] - moment for recipient, moment in list(committed.items())[_WARM:]])

    return side


async def _arrived(bench: Bench, count: int) -> dict[str, float]:
    async def all_of_them() -> bool:
        return int((await bench.sink.ask(do="count"))["count"]) >= count

    await eventually(all_of_them, 30.0)
    arrivals: dict[str, float] = (await bench.sink.ask(do="arrivals"))["arrivals"]
    return arrivals


def _sample(late: list[float]) -> Sample:
    figures = {"p50": percentile(late, 50) * 1000, "p99": percentile(late, 99) * 1000}
    return Sample(figures=figures, latencies=late)
