"""What a gateway or an application asks at every request: verify-token, forward, /users/me."""

from __future__ import annotations

from tests.bench.bench import Bench
from tests.bench.loading import request
from tests.bench.measured import Comparison, Result, compare
from tests.bench.people import MANY, Issuer

_AUTH = "/api/v1/auth"


async def _tokens(bench: Bench) -> list[str]:
    issuer = await bench.system.issuer()
    return [issuer.access(number) for number in range(MANY)]


def _of_auth(bench: Bench) -> tuple[list[int], tuple[int, ...]]:
    return [bench.system.ports["auth"]], bench.system.pids("auth")


async def verify_token(bench: Bench) -> list[Result]:
    await bench.system.start("auth")
    requests = [request("POST", f"{_AUTH}/verify-token", bearer=token) for token in await _tokens(bench)]
    bare = [request("POST", "/", bearer=f"token{number}") for number in range(MANY)]
    async with bench.limit("message") as limit:
        sides = {
            "auth": bench.job(requests, *_of_auth(bench)),
            "bare endpoint": bench.job(bare, [limit.port], [limit.pid]),
        }
        samples = await bench.in_short_turns(sides)
    return [compare(_at_least("verify-token", 0.55, "auth", "bare endpoint", "the same JSON from FastAPI"), samples)]


async def forward(bench: Bench) -> list[Result]:
    await bench.system.start("auth")
    requests = [request("GET", f"{_AUTH}/forward", bearer=token) for token in await _tokens(bench)]
    bare = [request("GET", "/", bearer=f"token{number}") for number in range(MANY)]
    async with bench.limit("empty") as limit:
        sides = {
            "auth": bench.job(requests, *_of_auth(bench), expect=204),
            "bare 204": bench.job(bare, [limit.port], [limit.pid], expect=204),
        }
        samples = await bench.in_short_turns(sides)
    return [compare(_at_least("forward", 0.50, "auth", "bare 204", "204 from Starlette"), samples)]


async def me(bench: Bench) -> list[Result]:
    await bench.system.start("auth", "users")
    issuer: Issuer = await bench.system.issuer()
    tokens = [issuer.access(number) for number in range(MANY)]
    requests = [request("GET", "/api/v1/users/me", bearer=token) for token in tokens]
    bare = [request("GET", "/", bearer=token) for token in tokens]
    ports, pids = [bench.system.ports["users"]], bench.system.pids("users")
    async with bench.limit("account") as limit, bench.limit("me", issuer) as handler:
        sides = {
            "users": bench.job(requests, ports, pids),
            "bare endpoint": bench.job(bare, [limit.port], [limit.pid]),
            "bare handler": bench.job(bare, [handler.port], [handler.pid]),
        }
        samples = await bench.in_short_turns(sides)
    first = _at_least("me", 0.40, "users", "bare endpoint", "the same JSON from FastAPI")
    second = _at_least("me", 0.60, "users", "bare handler", "one verification, one SELECT")
    return [compare(first, samples), compare(second, samples)]


def _at_least(row: str, target: float, ours: str, limit: str, what: str) -> Comparison:
    return Comparison(
        row=row, what=what, ours=ours, limit=limit, figure="rate", unit="requests/s", bound="at least", target=target
    )
