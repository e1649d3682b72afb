"""refresh-token: each token is used once, so a round is so many tokens and not so many seconds."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.bench import Bench
from tests.bench.job import Job
from tests.bench.loading import load, request, sample
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import Issuer
from tests.servers.databases import connected

_WARM = 200
_OURS, _BARE = 1000, 2500  # about as long for both


async def refresh(bench: Bench) -> list[Result]:
    await bench.system.start("auth")
    issuer = await bench.system.issuer()
    async with bench.limit("refresh", issuer) as one, bench.limit("refresh-in-two", issuer) as two:
        auth = bench.system.ports["auth"], bench.system.pids("auth")
        sides = {
            "auth": _side(bench, issuer, _OURS, *auth, _ours),
            "bare handler": _side(bench, issuer, _BARE, one.port, (one.pid,), _bare),
            "bare handler, two statements": _side(bench, issuer, _BARE, two.port, (two.pid,), _bare),
        }
        samples = await in_turn(sides, bench.say, bench.rounds)
    return [compare(_asked(limit), samples) for limit in sides if limit != "auth"]


def _asked(limit: str) -> Comparison:
    return Comparison(
        row="refresh", what=limit, ours="auth", limit=limit,
        figure="rate", unit="requests/s", bound="at least", target=0.60,
    )  # fmt: skip


def _ours(token: str) -> bytes:
    return request("POST", "/api/v1/auth/refresh-token", body={"refresh_token": token})


def _bare(token: str) -> bytes:
    return request("POST", "/", body={"refresh_token": token})


def _side(
    bench: Bench, issuer: Issuer, count: int, port: int, pids: tuple[int, ...], asking: Callable[[str], bytes]
) -> Side:
    async def side() -> Sample:
        async with connected(bench.system.databases.admin_url) as connection:
            tokens = await issuer.new_refresh_tokens(connection, _WARM + count)
        job = Job(
            ports=(port,),
            requests=[asking(token) for token in tokens],
            once=True,
            warm=_WARM,
            count=count,
            watched={"process": pids, **bench.servers.watched()},
        )
        return sample(await load(job))

    return side
