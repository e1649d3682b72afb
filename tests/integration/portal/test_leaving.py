"""Being sent on, being refused, and logging out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.web.cookies import GATE, SESSION
from tests.composed import AUTH, Keys
from tests.composed_portal import ComposedPortal, Visitor, running_portal
from tests.servers.databases import copied
from tests.servers.postgres import Postgres

APP = "https://app.example.test/inbox?unread=1&page=2"


@pytest.fixture(scope="module")
async def gated(postgres: Postgres, database_template: str, keys: Keys, jwks_url: str) -> AsyncIterator[ComposedPortal]:
    """With hosts behind a gateway."""
    issuer = {"issuer": "https://login.example.test"}
    settings: dict[str, Any] = {"gate_cookie_domain": "example.test", "portal_redirects": "https://*.example.test"}
    settings |= issuer
    async with (
        copied(postgres, database_template) as databases,
        running_portal(databases, keys, jwks_url, auth=settings, users=issuer, **settings) as portal,
    ):
        yield portal


async def test_a_login_for_another_host_goes_through_a_page_of_ours_and_a_logout_takes_both_cookies(
    gated: ComposedPortal,
) -> None:
    browser = gated.browser()
    person = await gated.person()
    page = await browser.log_in(person, rd=APP)
    assert page.path == "/continue"
    assert page.document.refreshes == f"0; url={APP}"
    assert APP in page.links
    assert {SESSION, GATE} <= browser.cookies.keys()
    session = browser.cookies[SESSION]
    page = await browser.submit(await browser.get("/logout"), "/logout")
    assert not {SESSION, GATE} & browser.cookies.keys()
    (gate,) = [line for line in page.answer.headers.get_list("set-cookie") if line.startswith(GATE)]
    assert {"Domain=example.test", "Path=/", "Secure"} <= set(gate.split("; "))
    assert (await browser.follow(page)).said == "You are logged out."
    answer = await gated.auth.http.post(f"{AUTH}/cookie/access", json={"session_cookie": session})
    assert answer.status_code == 401


async def test_what_is_said_to_somebody_who_goes_to_another_host_can_be_read_first(gated: ComposedPortal) -> None:
    browser = gated.browser()
    person = await gated.person()
    app = await gated.new_app(person)
    page = await browser.log_in(person, rd=APP)
    page = await browser.get(f"{page.url}&method=recovery")
    page = await browser.follow(await browser.submit(page, "/login/verify", code=app.recovery_codes[0]))
    assert (page.path, page.document.refreshes) == ("/continue", "")
    assert "Codes left: 9" in page.said
    assert APP in page.links


async def test_a_logout_without_a_session_is_one_all_the_same(portal: ComposedPortal, browser: Visitor) -> None:
    await browser.log_in(await portal.person())
    page = await browser.get("/logout")
    await browser.submit(page, "/logout")
    page = await browser.get("/logout")
    page = await browser.follow(await browser.submit(page, "/logout"))
    assert (page.path, page.said) == ("/login", "You are logged out.")


@pytest.mark.parametrize(
    ("reason", "leads_to"),
    [
        ("email_not_verified", "/account/address"),
        ("not_enough_permissions", "/logout"),
        ("<b>anything</b>", "/logout"),
        ("again", "/logout"),
    ],
)
async def test_whoever_is_denied_is_told_why_and_what_to_do(browser: Visitor, reason: str, leads_to: str) -> None:
    page = await browser.get("/denied", reason=reason, rd="/account/sessions")
    assert page.status == 403
    assert leads_to in page.links
    assert "/account/sessions" in page.links
    assert "<b>" not in page.html


async def test_a_page_that_a_gateway_shows_when_auth_is_away_leads_back(browser: Visitor) -> None:
    page = await browser.get("/error", rd="/account/sessions")
    assert page.status == 503
    assert "/account/sessions" in page.links
