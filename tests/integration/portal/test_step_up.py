"""Somebody who is logged in is asked again: for a newer login, or a stronger one."""

from __future__ import annotations

from shared.web.cookies import SESSION
from tests.composed import AUTH, bearer
from tests.composed_portal import ComposedPortal, Visitor

VERIFY = "/login/verify"


async def auth_session(portal: ComposedPortal, browser: Visitor) -> str:
    """The id of the session of the browser's cookie, which must be good."""
    given = {"session_cookie": browser.cookies[SESSION]}
    access = (await portal.auth.http.post(f"{AUTH}/cookie/access", json=given)).json()["access_token"]
    sessions = (await portal.auth.http.get(f"{AUTH}/sessions", headers=bearer(access))).json()
    (current,) = [each["id"] for each in sessions if each["current"]]
    return str(current)


async def test_a_step_up_goes_on_with_the_same_session_and_another_cookie(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person()
    await browser.log_in(person, keep=True)
    former, session = browser.cookies[SESSION], await auth_session(portal, browser)
    await portal.age_login(person, 600)
    page = await browser.get("/step-up", rd="/account/sessions")
    assert (page.status, page.title) == (200, "Is it still you? – Login2FA")  # noqa: RUF001 - titles have this dash
    page = await browser.follow(await browser.submit(page, "/step-up"))
    assert page.title.startswith("Password")
    assert "remember" not in page.form(VERIFY).names
    page = await browser.submit(page, VERIFY, password="not the password")
    assert (page.status, page.alert) == (422, "Username or password is wrong.")
    page = await browser.submit(page, VERIFY, password=person.password)
    assert page.location == "/account/sessions"
    assert "; Max-Age=" in str(page.answer.headers.get_list("set-cookie"))  # kept, as it was
    assert browser.cookies[SESSION] != former
    assert await auth_session(portal, browser) == session


async def test_what_was_too_old_works_after_it(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    await browser.log_in(person)
    await portal.age_login(person, 600)
    page = await browser.get("/account/factors/app")
    page = await browser.follow(await browser.submit(page, "/account/factors/app"))
    assert (page.path, page.form("/step-up").fields["rd"]) == ("/step-up", "/account/factors/app")
    page = await browser.follow(await browser.submit(page, "/step-up"))
    page = await browser.follow(await browser.submit(page, VERIFY, password=person.password))
    assert page.path == "/account/factors/app"
    assert (await browser.submit(page, "/account/factors/app")).status == 200


async def test_whoever_lacks_the_factor_is_told_to_add_it(portal: ComposedPortal, browser: Visitor) -> None:
    await browser.log_in(await portal.person(is_2fa=False))
    for acr in "2", "3":
        page = await browser.get("/step-up", rd="/account/sessions", acr=acr)
        page = await browser.submit(page, "/step-up")
        assert page.status == 422
        assert "/account/factors" in page.links


async def test_a_passkey_completes_a_login_and_a_step_up(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    passkey = await portal.new_passkey(person)
    page = await browser.log_in(person)
    page = await browser.follow(await browser.use_passkey(page, VERIFY, passkey))
    assert page.path == "/account"
    former = browser.cookies[SESSION]
    page = await browser.get("/step-up", rd="/account/sessions", acr="3")
    page = await browser.follow(await browser.submit(page, "/step-up"))
    page = await browser.use_passkey(page, VERIFY, passkey)
    assert page.location == "/account/sessions"
    assert browser.cookies[SESSION] != former


async def test_without_a_session_a_login_is_enough(browser: Visitor) -> None:
    page = await browser.get("/step-up", rd="/account/sessions", acr="2")
    assert page.location == "/login?rd=%2Faccount%2Fsessions"
