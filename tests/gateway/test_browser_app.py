"""The ten lines of nginx of docs/tutorial.md in front of a bare app, walked through with a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page

from shared.web.cookies import SESSION
from tests.browser.authenticator import Authenticator
from tests.browser.conftest import browser, program
from tests.browser.visitor import Visitor
from tests.document_lines import marked
from tests.gateway.examples.gateways import NGINX
from tests.polling import eventually
from tests.servers.chromium import Chromium
from tests.servers.nginx import running_nginx
from tests.servers.ports import free_ports
from tests.servers.upstream import Answer, Upstream, upstream
from tests.stacks.stack import Person
from tests.stacks.standalone import Standalone, standalone
from tests.stacks.steps import log_in, register, temporary_token

__all__ = ("browser", "program")

DEEP = "/orders?page=2&rd=/evil"
PAGE = b"<!doctype html><title>Orders</title><h1>Orders</h1><p>Page 2 of 7.</p>"
STATUS = "async path => (await fetch(path)).status"
A_SECOND = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`app` is gated by the ten lines as they are, `vault` by the same lines with `/acr/3` in their question."""

    app: str
    vault: str
    upstream: Upstream
    stack: Standalone

    @property
    def login(self) -> str:
        return str(self.stack.http.base_url).rstrip("/")


@contextmanager
def ten_lines(folder: Path, ports: list[int], app: int, service: int) -> Iterator[None]:
    lines = marked("nginx", "nginx")
    assert len(lines.splitlines()) == 10
    once = lines.replace("127.0.0.1:3000", f"127.0.0.1:{app}").replace("127.0.0.1:8201", f"127.0.0.1:{service}")
    servers = [once, once.replace("/auth/forward", "/auth/forward/acr/3")]
    listening = [
        each.replace("listen 8080", f"listen 127.0.0.1:{port}") for each, port in zip(servers, ports, strict=True)
    ]
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "app.conf").write_text("\n".join(listening))
    (folder / "nginx.conf").write_text(NGINX)
    with running_nginx(folder, ports[0]):
        yield


@pytest.fixture(scope="module")
async def site(program: Chromium, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    ports = free_ports(2)
    app, vault = (f"http://localhost:{port}" for port in ports)
    async with standalone() as stack:
        stack.program.settings["PORTAL_REDIRECTS"] = f"{app},{vault}"
        await stack.start()
        service = stack.http.base_url.port or 0
        with upstream() as behind, ten_lines(tmp_path_factory.mktemp("nginx"), ports, behind.port, service):
            behind.answers = lambda _seen: Answer(body=PAGE, headers={"Content-Type": "text/html"})
            yield Site(app=app, vault=vault, upstream=behind, stack=stack)


@pytest.fixture
async def page(browser: Browser, site: Site) -> AsyncIterator[Page]:
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def log_in_at(page: Page, person: Person) -> None:
    await page.get_by_label("Username").fill(person.username)
    await page.get_by_label("Password", exact=True).fill(person.password)
    await page.locator("main form button").first.click()


async def with_a_passkey_and_a_session_without_it(page: Page, site: Site) -> Person:
    """The passkey is in the browser's own authenticator; the session is that of a recovery code."""
    await Authenticator.of(page)
    person = await register(site.stack)
    await page.goto(f"{site.login}/login")
    visitor = Visitor(page)
    access = (await log_in(site.stack, person)).access
    paths = ("/factors/passkeys/options", "/factors/passkeys")
    status, added = await visitor.ceremony("create", *paths, token=access, name="Laptop")
    assert status == 201, added

    temporary = await temporary_token(site.stack, person)
    status, pair = await visitor.post("/verify-recovery", {"code": added["recovery_codes"][0]}, token=temporary)
    assert status == 200, pair
    status, made = await visitor.post("/cookie", {"refresh_token": pair["refresh_token"], "keep_logged_in": False})
    assert status == 201, made
    value: str = made["session_cookie"]
    await page.context.add_cookies(
        [{"name": SESSION, "value": value, "domain": "localhost", "path": "/", "secure": True}]
    )
    return person


async def test_the_page_asks_for_a_login_comes_back_and_ends_with_the_logout_on_both_sides(
    page: Page, site: Site
) -> None:
    person = await register(site.stack)
    await page.goto(site.app + DEEP)
    assert page.url.startswith(f"{site.login}/login?rd=")
    assert parse_qs(urlsplit(page.url).query) == {"rd": [site.app + DEEP]}
    assert site.upstream.seen == []

    await log_in_at(page, person)
    await page.wait_for_url(site.app + DEEP)
    assert await page.locator("h1").inner_text() == "Orders"
    assert await page.evaluate(STATUS, "/orders") == 200
    pages = [seen for seen in site.upstream.seen if seen.target == DEEP]
    assert pages[0].header("x-auth-subject") == [person.id]
    assert pages[0].header("cookie") == []

    account = await page.context.new_page()
    await account.goto(f"{site.login}/logout")
    await account.locator("main form button").first.click()
    await account.wait_for_url(f"{site.login}/login**")

    async def over() -> bool:
        return bool(await page.evaluate(STATUS, "/orders") == 401)

    await eventually(over, A_SECOND)
    for url in (site.app + DEEP, f"{site.login}/account"):
        await page.goto(url)
        assert page.url.startswith(f"{site.login}/login?rd=")


async def test_a_route_that_wants_a_passkey_asks_for_it_and_comes_back(page: Page, site: Site) -> None:
    person = await with_a_passkey_and_a_session_without_it(page, site)
    await page.goto(site.app + DEEP)
    assert page.url == site.app + DEEP
    await page.goto(site.vault + DEEP)
    assert page.url.startswith(f"{site.login}/step-up?")
    assert parse_qs(urlsplit(page.url).query) == {"rd": [site.vault + DEEP], "acr": ["3"]}
    await page.locator("main form button").first.click()
    await page.wait_for_url(f"{site.login}/login/verify**")
    await page.locator("main form button").first.click()
    await page.wait_for_url(site.vault + DEEP)
    assert await page.locator("h1").inner_text() == "Orders"
    assert site.upstream.last().header("x-auth-subject") == [person.id]
