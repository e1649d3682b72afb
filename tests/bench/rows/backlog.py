"""A backlog of codes, through one relay and one notifier, to the last mail."""

from __future__ import annotations

import itertools

from tests.bench import cpu
from tests.bench.bench import Bench
from tests.bench.events import backlog
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.workers import Worker
from tests.polling import eventually
from tests.servers.databases import asyncpg_dsn

# The whole backlog once; the rounds after it, which show how much the figure moves, are shorter.
WHOLE, SHORT = 20_000, 2_000
_QUEUE = "bench.pipeline"
_PROCESSES = ("auth", "notifier")
_DRAIN_SECONDS = 300.0


async def drain(bench: Bench) -> list[Result]:
    await bench.system.start(*_PROCESSES)
    dsn, amqp_url = asyncpg_dsn(bench.system.databases.admin_url), bench.system.amqp_url
    port = str(bench.sink.ready["port"])
    async with (
        Worker("tests.bench.limits.publishes", dsn, amqp_url, _QUEUE) as publisher,
        Worker("tests.bench.limits.courier", amqp_url, _QUEUE, port) as courier,
    ):
        sides = {"product": _ours(bench), "bare pipeline": _bare(bench, publisher, courier)}
        samples = await in_turn(sides, bench.say, 2 * bench.rounds)
    asked = Comparison(
        row="backlog", what=f"{WHOLE:,} codes at once", ours="product", limit="bare pipeline",
        figure="rate", unit="mails/s", bound="at least", target=0.70,
        note=f"the first round is of {WHOLE:,} codes, the others of {SHORT:,}",
    )  # fmt: skip
    return [compare(asked, samples)]


def _ours(bench: Bench) -> Side:
    counts = itertools.chain([WHOLE], itertools.repeat(SHORT))

    async def side() -> Sample:
        count = next(counts)
        await bench.sink.ask(do="reset")
        pids = bench.system.pids(*_PROCESSES)
        used = cpu.seconds(pids)
        await backlog(bench.system, count)
        return await _drained(bench, count, pids, used)

    return side


def _bare(bench: Bench, publisher: Worker, courier: Worker) -> Side:
    counts = itertools.chain([WHOLE], itertools.repeat(SHORT))

    async def side() -> Sample:
        count = next(counts)
        await bench.sink.ask(do="reset")
        await publisher.ask(do="fill", count=count)
        pids = (publisher.pid, courier.pid)
        used = cpu.seconds(pids)
        await publisher.ask(do="publish rows", count=count)
        return await _drained(bench, count, pids, used)

    return side


async def _drained(bench: Bench, count: int, pids: tuple[int, ...], used: float) -> Sample:
    """From the first mail to the last: when the relay next looks is another row's."""

    async def all_arrived() -> bool:
        return int((await bench.sink.ask(do="count"))["count"]) >= count

    await eventually(all_arrived, _DRAIN_SECONDS)
    moments = (await bench.sink.ask(do="arrivals"))["arrivals"].values()
    rate = (count - 1) / (max(moments) - min(moments))
    return Sample(figures={"rate": rate, "process": (cpu.seconds(pids) - used) / count * 1e6})
