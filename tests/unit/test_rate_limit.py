"""So many requests a second from one address, and so many at once: shared.web.rate_limit."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from services.auth.app import RATE_LIMITED as LIMITED_BY_AUTH
from services.users.routes import RATE_LIMITED as LIMITED_BY_USERS
from shared.web import rate_limit
from shared.web.rate_limit import Buckets, RateLimiter
from tests.asking import problem, small_app
from tests.metrics import sample

RATE, BURST = 50.0, 200


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def buckets(clock: Clock) -> Buckets:
    return Buckets(RATE, BURST, clock)


def let_through(buckets: Buckets, client: str = "a", tries: int = 1000) -> int:
    return sum(buckets.wait(client) == 0 for _ in range(tries))


def test_a_burst_passes_and_then_so_many_a_second(buckets: Buckets, clock: Clock) -> None:
    assert let_through(buckets) == BURST
    clock.now += 1
    assert let_through(buckets) == RATE
    clock.now += 3600
    assert let_through(buckets) == BURST


def test_who_comes_too_often_is_told_how_long_to_wait(buckets: Buckets, clock: Clock) -> None:
    let_through(buckets)
    assert buckets.wait("a") == pytest.approx(1 / RATE)
    clock.now += 0.25
    assert buckets.wait("a") == 0


def test_another_client_has_a_bucket_of_its_own(buckets: Buckets) -> None:
    let_through(buckets)
    assert let_through(buckets, "b") == BURST


def test_only_the_latest_clients_are_remembered(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_REMEMBERED", 3)
    let_through(buckets, "busy")
    for number in range(100):
        buckets.wait(str(number))
        assert buckets.wait("busy") > 0
    assert len(buckets) == 3


# --- around an application


def limited(trusted_proxies: str = "") -> FastAPI:
    app = small_app(
        token_endpoints=frozenset({"/token"}),
        limiter=RateLimiter(frozenset({"/token", "/register"}), Buckets(0.1, 2)),
        trusted_proxies=trusted_proxies,
    )
    for path in ("/token", "/register", "/other"):

        @app.post(path)
        async def answer() -> str:
            return "yes"

    return app


async def ask(app: FastAPI, *paths: str, address: str = "192.0.2.1") -> list[httpx.Response]:
    transport = httpx.ASGITransport(app, client=(address, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://login.test") as client:
        return [await client.post(path) for path in paths]


async def test_a_refusal_is_a_problem_document_that_says_when_to_come_again() -> None:
    *passed, refused = await ask(limited(), "/token", "/register", "/token")

    assert [answer.status_code for answer in passed] == [200, 200]
    assert problem(refused, 429, "too_many_requests")["error"] == "temporarily_unavailable"
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["x-request-id"]


async def test_a_refusal_counts() -> None:
    before = sample("floods_refused_total")
    await ask(limited(), *["/token"] * 5)
    assert sample("floods_refused_total") == before + 3


async def test_nothing_else_is_limited() -> None:
    answers = await ask(limited(), "/token", "/token", *["/other"] * 5)
    assert {answer.status_code for answer in answers} == {200}


async def test_a_proxy_that_does_not_say_who_asked_is_not_taken_for_one_client() -> None:
    answers = await ask(limited(trusted_proxies="192.0.2.0/24"), *["/token"] * 5)
    assert {answer.status_code for answer in answers} == {200}


def test_the_gateway_limits_the_paths_that_the_services_limit() -> None:
    """A process counts for itself alone: with n replicas a client would have n times as much."""
    template = Path(__file__).parents[2] / "deploy" / "gateway" / "templates" / "limits.conf.template"
    (pattern,) = re.findall(r'^ *"~(\^\[A-Z\]\+ /api/v1/[^"]+)" \$client_network;', template.read_text(), re.MULTILINE)
    limited = {path.replace("{user_id:uuid}", str(uuid4())) for path in LIMITED_BY_AUTH | LIMITED_BY_USERS}
    assert [path for path in sorted(limited) if not re.search(pattern, f"POST {path}")] == []
    assert not re.search(pattern, "PATCH /api/v1/users/me")
