"""What a request costs with 1,000,000 accounts and sessions, beside the same with 1,000."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.bench import cpu, people
from tests.bench.bench import SHORTER, Bench
from tests.bench.events import backlog
from tests.bench.job import Job
from tests.bench.loading import request
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import Issuer, account_id, sampled
from tests.bench.rows.logins import logins
from tests.bench.system import System, system
from tests.bench.workers import Worker
from tests.servers.databases import connected

SMALL, LARGE = 1_000, 1_000_000
_COST = ("process", "postgres")
_EVENTS = 1000  # a turn


@dataclass(frozen=True, kw_only=True)
class _Sized:
    system: System
    total: int


async def sizes(bench: Bench) -> list[Result]:
    await bench.system.stop(*list(bench.system.programs))
    async with AsyncExitStack() as parts:
        both = {str(total): await parts.enter_async_context(_sized(bench, total)) for total in (SMALL, LARGE)}
        results = [await _claims(bench, both)]
        for each in both.values():
            await each.system.start("auth", "users")
        for name, count, service, requests in _ROWS:
            bench.say(f"{name} with {SMALL:,} and with {LARGE:,}")
            sides = {size: await _job(bench, each, count, service, requests) for size, each in both.items()}
            samples = await bench.in_short_turns(sides)
            results.append(compare(_at_most(name), {size: [_cost(each) for each in samples[size]] for size in sides}))
    return results


@asynccontextmanager
async def _sized(bench: Bench, total: int) -> AsyncIterator[_Sized]:
    async with system(bench.servers, bench.sink.ready["port"], bench.folder, f"sized-{total}") as made:
        bench.say(f"filling a database with {total:,} accounts and sessions")
        async with connected(made.databases.admin_url) as connection:
            await people.fill(connection, total)
            await people.give_passwords(connection, sampled(total), bench.hashes())
            await people.make_administrators(connection, sampled(total))
            await connection.execute("VACUUM ANALYZE", timeout=600)
            await connection.execute("CHECKPOINT", timeout=600)
        yield _Sized(system=made, total=total)


def _logins(_issuer: Issuer, total: int) -> list[bytes]:
    return logins(numbers=sampled(total))


def _checks(issuer: Issuer, total: int) -> list[bytes]:
    return [request("POST", "/api/v1/auth/verify-token", bearer=issuer.access(number)) for number in sampled(total)]


def _pages(issuer: Issuer, total: int) -> list[bytes]:
    """From everywhere in the list, full pages all of them."""
    return [
        request("GET", f"/api/v1/users/?cursor={_cursor(min(number, total - 100))}", bearer=issuer.access(number))
        for number in sampled(total)
    ]


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(account_id(number).bytes).decode().rstrip("=")


_ROWS: tuple[tuple[str, int, str, Callable[[Issuer, int], list[bytes]]], ...] = (
    ("login", 16, "auth", _logins),
    ("verify-token", 400, "auth", _checks),
    ("a page of accounts", 60, "users", _pages),
)


async def _job(
    bench: Bench, sized: _Sized, count: int, service: str, requests: Callable[[Issuer, int], list[bytes]]
) -> Job:
    return Job(
        ports=(sized.system.ports[service],),
        requests=requests(await sized.system.issuer(), sized.total),
        connections=8,
        warm=count,
        count=count,
        watched=bench.watched(sized.system.pids(service)),
    )


async def _claims(bench: Bench, both: Mapping[str, _Sized]) -> Result:
    """Before auth runs: its relay would take the events."""
    async with AsyncExitStack() as parts:
        relays = {
            size: await parts.enter_async_context(
                Worker("tests.bench.relay_alone", each.system.databases.auth_url, "instant")
            )
            for size, each in both.items()
        }
        sides = {size: _claimed(bench, both[size], relays[size]) for size in both}
        return compare(_at_most("relay claim"), await in_turn(sides, bench.say, bench.rounds * SHORTER))


def _claimed(bench: Bench, sized: _Sized, relay: Worker) -> Side:
    postgres = bench.servers.watched()["postgres"]

    async def side() -> Sample:
        await backlog(sized.system, _EVENTS)
        used = cpu.seconds(postgres)
        done = await relay.ask(count=_EVENTS)
        figures = {"process": done["cpu"], "postgres": cpu.seconds(postgres) - used}
        return _cost(Sample(figures={name: spent / _EVENTS * 1e6 for name, spent in figures.items()}))

    return side


def _cost(sample: Sample) -> Sample:
    figures = {name: sample.figures[name] for name in _COST}
    return Sample(figures={"cost": sum(figures.values()), **figures})


def _at_most(what: str) -> Comparison:
    return Comparison(
        row="sizes", what=f"{what}: {LARGE:,} accounts beside {SMALL:,}", ours=str(LARGE), limit=str(SMALL),
        figure="cost", unit="µs of processor time, Postgres included", bound="at most", target=1.15,
    )  # fmt: skip
