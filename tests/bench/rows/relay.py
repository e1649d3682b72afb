"""The relay by itself: events from the outbox to confirmed messages."""

from __future__ import annotations

from shared.messaging.topology import OTP_DELIVERY
from tests.bench.bench import SHORTER, Bench
from tests.bench.events import backlog
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.workers import Worker
from tests.servers.databases import asyncpg_dsn

_COUNT = 1000  # a turn
_QUEUE = "bench.publishes"


async def relay(bench: Bench) -> list[Result]:
    await bench.system.stop("auth", "notifier")
    dsn, amqp_url = asyncpg_dsn(bench.system.databases.admin_url), bench.system.amqp_url
    async with (
        Worker("tests.bench.relay_alone", bench.system.databases.auth_url, amqp_url) as alone,
        Worker("tests.bench.limits.publishes", dsn, amqp_url, _QUEUE) as publisher,
    ):
        sides = {"relay": _ours(bench, alone, publisher), "bare publishes": _bare(publisher)}
        samples = await in_turn(sides, bench.say, 2 * bench.rounds * SHORTER)
    asked = Comparison(
        row="relay", what="publishes with 100 confirms in flight", ours="relay", limit="bare publishes",
        figure="rate", unit="events/s", bound="at least", target=0.50,
    )  # fmt: skip
    return [compare(asked, samples)]


def _ours(bench: Bench, alone: Worker, purger: Worker) -> Side:
    async def side() -> Sample:
        await backlog(bench.system, _COUNT)
        done = await alone.ask(count=_COUNT)
        await purger.ask(do="purge", count=0, queue=OTP_DELIVERY.queue)
        return _sample(done)

    return side


def _bare(publisher: Worker) -> Side:
    async def side() -> Sample:
        done = await publisher.ask(do="publish", count=_COUNT)
        await publisher.ask(do="purge", count=0, queue=_QUEUE)
        return _sample(done)

    return side


def _sample(done: dict[str, float]) -> Sample:
    return Sample(figures={"rate": _COUNT / done["seconds"], "process": done["cpu"] / _COUNT * 1e6})
