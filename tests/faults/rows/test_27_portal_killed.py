"""Row 27: the portal is killed between two pages of a login, and one that knows nothing of it answers the next page:
what it has to know, the browser tells it. So it is no matter either which of several replicas is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from shared.web.process import listen, serving
from tests.composed import Keys, jwks_url
from tests.composed_portal import ComposedPortal, Visitor, running_portal
from tests.servers.databases import Databases
from tests.servers.ports import free_ports
from tests.stacks.by_path import ByPath
from tests.stacks.program import Program

__all__ = ("jwks_url",)


@pytest.fixture
async def services(databases: Databases, keys: Keys, jwks_url: str) -> AsyncIterator[ComposedPortal]:
    async with running_portal(databases, keys, jwks_url) as services:
        yield services


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    bound = listen("127.0.0.1", 0, hint="")
    async with serving(app, bound, grace=1):
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_a_login_goes_on_at_a_portal_that_knows_nothing_of_it(services: ComposedPortal, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        auth, users = [await stack.enter_async_context(listening(each.app)) for each in (services.auth, services.users)]
        port, management = free_ports(2)
        settings = {"PORT": str(port), "MANAGEMENT_PORT": str(management), "AUTH_URL": auth, "USERS_URL": users}
        portal = Program("portal", "portal", settings=settings, folder=tmp_path)
        stack.callback(portal.kill)
        portal.start()
        await portal.until_ready(f"http://127.0.0.1:{management}")
        person = await services.person(is_2fa=True)
        browser = Visitor(ByPath({"/": f"http://127.0.0.1:{port}"}))
        page = await browser.log_in(person)
        assert page.path == "/login/verify"
        code = await services.inbox.code_for(person.email)

        portal.kill()
        portal.start()
        await portal.until_ready(f"http://127.0.0.1:{management}")

        page = await browser.follow(await browser.submit(page, "/login/verify", otp=code))
        assert (page.status, page.path) == (200, "/account")
