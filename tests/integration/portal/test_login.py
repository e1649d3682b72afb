"""Logging in by a browser, with a password or a passkey alone."""

from __future__ import annotations

import httpx

from services.portal import app
from services.portal.api import Services
from services.portal.settings import PortalSettings
from shared.configuration.settings import load
from shared.web.cookies import SESSION
from tests.browsing import Page
from tests.composed import AUTH
from tests.composed_portal import ComposedPortal, Visitor


def lines(page: Page, cookie: str) -> list[str]:
    """The lines that set it."""
    return [line for line in page.answer.headers.get_list("set-cookie") if line.startswith(f"{cookie}=")]


async def is_good(portal: ComposedPortal, session: str) -> bool:
    answer = await portal.auth.http.post(f"{AUTH}/cookie/access", json={"session_cookie": session})
    return answer.status_code == httpx.codes.OK


async def test_a_password_leads_on_and_the_browser_keeps_the_session_as_long_as_it_was_told(
    portal: ComposedPortal,
) -> None:
    person = await portal.person()
    for keep, lasts in ("1", True), (None, False):
        browser = portal.browser()
        page = await browser.get("/login", rd="/account/factors")
        page = await browser.submit(page, "/login", username=person.username, password=person.password, keep=keep)
        assert (page.status, page.location) == (303, "/account/factors")
        (line,) = lines(page, SESSION)
        assert ("; Max-Age=" in line) is lasts
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(line.split("; "))


async def test_after_a_wrong_password_what_was_typed_stays_but_not_the_password(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person()
    page = await browser.get("/login", rd="/account/sessions")
    page = await browser.submit(page, "/login", username=person.username, password="not the password", keep="1")
    assert (page.status, page.alert) == (422, "Username or password is wrong.")
    fields = page.form("/login").fields
    assert (fields["username"], fields["password"], fields["keep"]) == (person.username, "", "1")
    assert fields["rd"] == "/account/sessions"
    assert "not the password" not in page.html
    assert SESSION not in browser.cookies


async def test_too_many_wrong_passwords_are_told_how_long_to_wait(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    page = await browser.get("/login")
    for _ in range(30):
        page = await browser.submit(page, "/login", username=person.username, password="wrong")
        if page.status != 422:
            break
    assert page.status == 429
    assert page.alert.startswith("Too many attempts. Please wait ")
    assert page.form("/login").fields["username"] == person.username


async def test_nobody_is_sent_to_a_place_that_is_not_listed(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    page = await browser.get("/login", rd="https://evil.test/")
    page = await browser.submit(page, "/login", username=person.username, password=person.password)
    assert page.location == "/account"
    assert "evil.test" not in (await browser.get("/continue", rd="https://evil.test/")).html


async def test_whoever_is_logged_in_goes_on_but_is_asked_if_that_page_sends_them_back(
    portal: ComposedPortal, browser: Visitor
) -> None:
    await browser.log_in(await portal.person())
    assert (await browser.get("/login", rd="/account/factors")).location == "/account/factors"
    page = await browser.get("/login", rd="/account/factors")
    assert page.status == 200
    assert "logged in here already" in page.text
    assert page.form("/login").fields["rd"] == "/account/factors"


async def test_another_login_ends_the_session_that_the_browser_had(portal: ComposedPortal, browser: Visitor) -> None:
    await browser.log_in(await portal.person())
    former = browser.cookies[SESSION]
    await browser.get("/login")  # leads on; the next one asks
    await browser.log_in(await portal.person())
    assert browser.cookies[SESSION] != former
    assert not await is_good(portal, former)
    assert await is_good(portal, browser.cookies[SESSION])


async def test_a_session_that_has_ended_meets_the_form(portal: ComposedPortal, browser: Visitor) -> None:
    browser.cookies[SESSION] = "of-yesterday"
    assert (await browser.get("/account")).location == "/login?rd=%2Faccount"
    page = await browser.log_in(await portal.person())
    assert (page.status, page.path) == (200, "/account")


async def test_a_passkey_alone_logs_in(portal: ComposedPortal, browser: Visitor) -> None:
    passkey = await portal.new_passkey(await portal.person())
    page = await browser.use_passkey(await browser.get("/login"), "/login/passkey", passkey, keep="1")
    assert (page.status, page.location) == (303, "/account")
    assert "; Max-Age=" in lines(page, SESSION)[0]


async def test_a_passkey_that_is_not_good_leads_to_the_form_again(portal: ComposedPortal, browser: Visitor) -> None:
    passkey = await portal.new_passkey(await portal.person())
    for credential in "{}", "not JSON", "[" * 20_000, "":
        page = await browser.get("/login")
        page = await browser.use_passkey(page, "/login/passkey", passkey, credential=credential)
        assert page.status == 422
        assert page.alert
        assert page.form("/login")
    assert SESSION not in browser.cookies
    assert (await browser.get("/login/passkey")).location.startswith("/login?")


async def test_while_auth_is_away_the_form_says_so_and_keeps_the_name() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away", request=request)

    services = Services(*(httpx.AsyncClient(transport=httpx.MockTransport(away), base_url="http://a") for _ in "12"))
    async with app.running(load(PortalSettings), services) as served:
        assert served.app is not None
        browser = Visitor(served.app)
        page = await browser.submit(await browser.get("/login"), "/login", username="ann", password="a password")
    assert page.status == 503
    assert page.alert.startswith("This is not available at the moment.")
    assert page.form("/login").fields["username"] == "ann"
