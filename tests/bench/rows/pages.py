"""The cost of a page for people: the one that everybody sees first."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.bench import Bench
from tests.bench.job import Job
from tests.bench.loading import load, request, sample
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import MANY

_SECONDS = 2.0
_MOST = 20_000  # microseconds

_ASKED = Comparison(
    row="portal-login-page", what="GET /login; a ready page of that size from Starlette", ours="portal",
    limit="bare page", figure="process", unit="µs of processor time", bound="at most", target=_MOST, beyond=True,
    note="the difference is bounded, not the ratio",
)  # fmt: skip


async def login_page(bench: Bench) -> list[Result]:
    """A page for somebody who has no cookie yet: it asks nobody."""
    await bench.system.start("portal")
    async with bench.limit("page") as limit:
        ports, pids = [bench.system.ports["portal"]], bench.system.pids("portal")
        sides = {
            "portal": _asked_for(bench.job([request("GET", "/login")] * MANY, ports, pids)),
            "bare page": _asked_for(bench.job([request("GET", "/")] * MANY, [limit.port], [limit.pid])),
        }
        samples = await in_turn(sides, bench.say, bench.rounds)
    await bench.system.stop("portal")
    return [compare(_ASKED, samples)]


def _asked_for(job: Job) -> Side:
    async def side() -> Sample:
        return sample(await load(replace(job, seconds=_SECONDS)))

    return side
