"""Another site, a sibling subdomain too, sends no form that the portal takes, and no link changes anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from starlette.formparsers import MultiPartParser

from services.portal import forms
from services.portal.visit import CrossSite
from shared.web.cookies import SESSION
from tests.browsing import ORIGIN, Page
from tests.composed import Keys
from tests.composed_portal import ComposedPortal, Visitor, running_portal
from tests.servers.databases import copied
from tests.servers.postgres import Postgres

FORM = "__Host-login2fa-form"
OWN = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
# By what a browser says of the page that sends a form; an old one says nothing of its site.
ELSEWHERE: dict[str, Mapping[str, str]] = {
    "nothing said": {},
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
    "another site that says our origin": {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    "a sibling subdomain": {"Sec-Fetch-Site": "same-site", "Origin": "http://app.localhost:8201"},
    "no page": {"Sec-Fetch-Site": "none", "Origin": ORIGIN},
    "an old browser, another site": {"Origin": "https://evil.test"},
    "an old browser, a page without an origin": {"Origin": "null"},
    "an old browser, another port": {"Origin": "http://localhost:8202"},
    "an old browser, another scheme": {"Origin": "https://localhost:8201"},
    "an old browser, a longer name": {"Origin": f"{ORIGIN}.evil.test"},
    "an old browser, a page of ours as the one before": {"Referer": f"{ORIGIN}/account"},
}


@dataclass(slots=True)
class Calls:
    """Requests of the portal to the API since they were last forgotten."""

    made: list[tuple[str, str]] = field(default_factory=list)

    async def note(self, request: httpx.Request) -> None:
        self.made.append((request.method, request.url.path))

    @property
    def that_change(self) -> set[tuple[str, str]]:
        """A page asks for an access token of its session; that is a POST for the sake of the cookie in its body."""
        return {each for each in self.made if each[0] != "GET"} - {("POST", "/api/v1/auth/cookie/access")}


@pytest.fixture(scope="module")
async def portal(
    postgres: Postgres, database_template: str, keys: Keys, jwks_url: str
) -> AsyncIterator[ComposedPortal]:
    async with copied(postgres, database_template) as databases, running_portal(databases, keys, jwks_url) as portal:
        yield portal


@pytest.fixture
def calls(portal: ComposedPortal) -> Calls:
    calls = Calls()
    services = portal.app.state.portal.services
    for client in (services.auth, services.users):
        client.event_hooks["request"].append(calls.note)
    return calls


def paths(portal: ComposedPortal, *, changing: bool) -> Iterator[str]:
    """Paths of all routes, with an id for each parameter."""
    for route in iter_route_contexts(portal.app.routes):
        if changing == bool(set(route.methods or ()) - {"GET", "HEAD"}):
            yield re.sub(r"{.*?}", str(uuid4()), str(route.path_format))


def refused(page: Page) -> bool:
    told = set(page.answer.headers.get_list("set-cookie"))
    return page.status == CrossSite.status and "came from another site" in page.alert and not _of_sessions(told)


def _of_sessions(lines: set[str]) -> set[str]:
    return {line for line in lines if not line.startswith(f"{FORM}=")}


async def somebody(portal: ComposedPortal) -> Visitor:
    browser = portal.browser()
    await browser.log_in(await portal.person(is_admin=True))
    assert SESSION in browser.cookies
    return browser


async def stranger(portal: ComposedPortal) -> Visitor:
    browser = portal.browser()
    await browser.get("/login")
    assert FORM in browser.cookies
    return browser


def right(browser: Visitor, cookie: str) -> dict[str, str]:
    """The token of forms for the browser with this cookie."""
    return {"form_token": forms.token_of(browser.cookies[cookie])}


async def test_no_form_of_another_site_is_taken_whatever_its_token(portal: ComposedPortal, calls: Calls) -> None:
    person, visitor = await somebody(portal), await stranger(portal)
    calls.made.clear()
    for path in paths(portal, changing=True):
        for who, headers in ELSEWHERE.items():
            page = await person.ask("POST", path, data=right(person, SESSION), headers=headers)
            assert refused(page), f"{path} from {who}: {page.status} {page.alert}"
        page = await visitor.ask("POST", path, data=right(visitor, FORM), headers=ELSEWHERE["a sibling subdomain"])
        assert refused(page), f"{path} before a login: {page.status} {page.alert}"
    assert calls.made == []


async def test_no_form_without_the_token_of_its_own_browser_is_taken(portal: ComposedPortal, calls: Calls) -> None:
    person, other = await somebody(portal), await somebody(portal)
    visitor, next_visitor = await stranger(portal), await stranger(portal)
    person.cookies[FORM] = visitor.cookies[FORM]
    others = {
        "another person's": right(other, SESSION),
        "a stranger's": right(next_visitor, FORM),
        "that of before the login": right(visitor, FORM),
        "no": {},
        "an empty": {"form_token": ""},
        "the session as its": {"form_token": person.cookies[SESSION]},
    }
    calls.made.clear()
    for path in paths(portal, changing=True):
        for whose, fields in others.items():
            page = await person.ask("POST", path, data=fields, headers=OWN)
            assert refused(page), f"{path} with {whose} token: {page.status} {page.alert}"
        page = await visitor.ask("POST", path, json=right(visitor, FORM), headers=OWN)
        assert refused(page), f"{path} with JSON: {page.status}"
        page = await portal.browser().ask("POST", path, data={"form_token": forms.token_of("")}, headers=OWN)
        assert refused(page), f"{path} from nobody: {page.status}"
    assert calls.made == []


async def test_a_form_in_parts_is_never_read(portal: ComposedPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of ours is sent so. Its sender names the codec of each text, some of which take seconds for one form."""

    async def read(_parser: MultiPartParser) -> None:
        raise AssertionError

    monkeypatch.setattr(MultiPartParser, "parse", read)
    browser = await stranger(portal)
    for charset in ("utf-8", "punycode", "unicode_escape"):
        token = right(browser, FORM)["form_token"]
        parts = f'--b\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n{token}\r\n--b--\r\n'
        headers = {**OWN, "Content-Type": f"Multipart/Form-Data; boundary=b; charset={charset}"}
        assert refused(await browser.ask("POST", "/logout", content=parts, headers=headers))


async def test_the_same_forms_are_taken_from_a_page_of_ours(portal: ComposedPortal) -> None:
    """Else the tests above would show nothing."""
    for path in paths(portal, changing=True):
        browser = await stranger(portal)
        page = await browser.ask("POST", path, data=right(browser, FORM), headers=OWN)
        assert not refused(page), path


async def test_no_link_changes_anything(portal: ComposedPortal, calls: Calls) -> None:
    browser = await somebody(portal)
    before = dict(browser.cookies)
    calls.made.clear()
    for path in paths(portal, changing=False):
        await browser.ask("GET", path, headers={"Sec-Fetch-Site": "cross-site"})
        assert calls.that_change == set(), path
        assert browser.cookies[SESSION] == before[SESSION], path
    assert calls.made
