"""S10, through the portal: it asks for each person in their own name, and who floods or guesses there waits alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, Request

from deploy.standalone import up
from deploy.standalone.state import State
from tests.asking import client_of, small_app
from tests.builders import OTHER_PASSWORD
from tests.composed import Keys
from tests.composed_portal import ComposedPortal, Visitor, running_portal
from tests.servers.databases import Databases

FREE, BURST = 3, 8
TOO_MANY = HTTPStatus.TOO_MANY_REQUESTS


@pytest.fixture
async def portal(databases: Databases, keys: Keys, jwks_url: str) -> AsyncIterator[ComposedPortal]:
    limits = {"throttle_free": FREE, "throttle_first_wait": 300, "flood_rate": 0.001, "flood_burst": BURST}
    async with running_portal(databases, keys, jwks_url, auth=limits) as portal:
        yield portal


async def guess(browser: Visitor, username: str, claimed: str) -> int:
    """The status that a wrong password gets. The browser claims an address."""
    page = await browser.get("/login")
    typed = {**page.form("/login").fields, "username": username, "password": OTHER_PASSWORD}
    claims = {"X-Forwarded-For": claimed, "Forwarded": f"for={claimed}", "X-Real-IP": claimed}
    return (await browser.post("/login", typed, headers=claims)).status


async def test_who_guesses_or_floods_through_the_portal_waits_alone_whatever_address_is_claimed(
    portal: ComposedPortal,
) -> None:
    person, guesser, flooder = await portal.person(), portal.browser(), portal.browser()

    guessed = [await guess(guesser, person.username, f"192.0.2.{n}") for n in range(FREE + 1)]
    flooded = [await guess(flooder, f"nobody-{n}", f"192.0.2.{n}") for n in range(BURST + 1)]
    owner = portal.browser()
    page = await owner.log_in(person)

    assert [status == TOO_MANY for status in guessed] == [False] * FREE + [True]
    assert [status == TOO_MANY for status in flooded] == [False] * BURST + [True]
    assert (page.status, page.path) == (HTTPStatus.OK, "/account")


async def test_make_up_believes_its_own_portal_and_nobody_who_comes_from_outside(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.ensure_signing_key()
    postgres: Any = SimpleNamespace(url=lambda *_: "postgresql+asyncpg://a:b@127.0.0.1:1/c")
    settings = up._settings(state, state.secrets(), postgres, port=1, demo=False)
    router = APIRouter()

    @router.get("/who")
    async def who(request: Request) -> str:
        return request.client.host if request.client else "nobody"

    claimed = {"X-Forwarded-For": "192.0.2.1"}
    for service in (settings.auth, settings.users, settings.portal):
        app = small_app(trusted_proxies=service.trusted_proxies)
        app.include_router(router)
        async with client_of(app, "127.0.0.1") as outside, up._within(app) as inside:
            assert (await outside.get("/who", headers=claimed)).json() == "127.0.0.1"
            told = (await inside.get("/who", headers=claimed)).json()
        assert told == (up.PORTAL if service is settings.portal else "192.0.2.1")
