"""refresh-token: each token is used once, so a turn is so many tokens and not so many seconds."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.bench import SHORTER, Bench
from tests.bench.job import Job
from tests.bench.loading import request
from tests.bench.measured import Comparison, Result, compare
from tests.bench.people import Issuer
from tests.servers.databases import connected

_WARM = 200
_OURS, _BARE = 400, 700  # in a turn: about as long for both


async def refresh(bench: Bench) -> list[Result]:
    await bench.system.start("auth")
    issuer = await bench.system.issuer()
    async with bench.limit("refresh", issuer) as one, bench.limit("refresh-in-two", issuer) as two:
        auth = bench.system.ports["auth"], bench.system.pids("auth")
        sides = {
            "auth": await _job(bench, issuer, _OURS, *auth, _ours),
            "bare handler": await _job(bench, issuer, _BARE, one.port, (one.pid,), _bare),
            "bare handler, two statements": await _job(bench, issuer, _BARE, two.port, (two.pid,), _bare),
        }
        samples = await bench.in_short_turns(sides)
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


async def _job(
    bench: Bench, issuer: Issuer, count: int, port: int, pids: tuple[int, ...], asking: Callable[[str], bytes]
) -> Job:
    async with connected(bench.system.databases.admin_url) as connection:
        tokens = await issuer.new_refresh_tokens(connection, _WARM + bench.rounds * SHORTER * count)
    return Job(
        ports=(port,),
        requests=[asking(token) for token in tokens],
        once=True,
        warm=_WARM,
        count=count,
        watched=bench.watched(pids),
    )
