"""Registering by a browser, in each mode of REGISTRATION."""

from __future__ import annotations

import pytest

from services.users.administration import invitation
from tests.browsing import Page
from tests.builders import PASSWORD, administration, registration
from tests.composed_portal import ComposedPortal, Visitor

CODE_COOKIE = "__Host-login2fa-code"


def filled(**other: str) -> dict[str, str]:
    fields = {name: value for name, value in registration().items() if name != "is_2fa"}
    return fields | {"confirm_password": PASSWORD} | other


async def sent(browser: Visitor, url: str = "/register", **fields: str) -> Page:
    return await browser.submit(await browser.get(url), "/register", fields)


async def test_whoever_registers_is_logged_in_and_goes_where_they_wanted(
    portal: ComposedPortal, browser: Visitor
) -> None:
    page = await sent(browser, "/register?rd=/account/profile", **filled(name="Ada"))
    assert (page.status, page.location) == (303, "/account/profile")
    page = await browser.follow(page)
    assert "Welcome" in page.said
    assert page.form("/account/profile").fields["name"] == "Ada"


async def test_what_is_wrong_is_said_at_its_field_and_the_rest_stays(portal: ComposedPortal, browser: Visitor) -> None:
    page = await sent(browser, **filled(name="www.example.com", username="ada"))
    assert page.status == 422
    form = page.form("/register")
    assert "holds no link" in page.text
    assert (form.fields["name"], form.fields["username"]) == ("www.example.com", "ada")
    assert PASSWORD not in page.html

    page = await browser.submit(page, "/register", name="Ada", password="password", confirm_password="password")
    assert "too common" in page.text
    page = await browser.submit(page, "/register", password=PASSWORD, confirm_password=f"{PASSWORD}!")
    assert "not the same" in page.text


async def test_a_form_that_is_sent_twice_makes_one_account_and_is_answered_alike(
    portal: ComposedPortal, browser: Visitor
) -> None:
    page, fields = await browser.get("/register"), filled()
    before = dict(browser.cookies)
    for _ in range(2):
        browser.cookies = dict(before)  # the second click comes before the first answer
        answer = await browser.submit(page, "/register", fields)
        assert (answer.status, answer.location) == (303, "/account")
    assert (await sent(portal.browser(), **fields)).status == 422, "somebody has the name"


async def test_with_login_codes_the_second_step_follows(portal: ComposedPortal, browser: Visitor) -> None:
    page = await sent(browser, **filled(is_2fa="1"))
    assert page.location.startswith("/login/verify?")
    assert "__Host-login2fa" not in browser.cookies


async def test_where_addresses_must_be_proved_that_comes_next(portal: ComposedPortal, browser: Visitor) -> None:
    fields = filled()
    with portal.users_with(email_verification="required"):
        page = await browser.follow(await sent(browser, "/register?rd=/account/profile", **fields))
        assert page.path == "/account/address"
        code = await portal.codes.code_for(fields["email"], "verify")
        page = await browser.submit(page, "/account/address", having={"act": "prove"}, code=code)
        assert page.location == "/account/profile"


async def test_the_mailed_code_makes_the_account_and_no_page_tells_who_has_one(portal: ComposedPortal) -> None:
    person, fields = await portal.person(), filled()
    with portal.users_with(registration="proven", uniform_deadline=0.05):
        pages = []
        for email in (fields["email"], person.email):
            browser = portal.browser()
            page = await sent(browser, **(fields | {"email": email, "username": person.username}))
            token = browser.cookies[CODE_COOKIE]
            assert token not in page.location
            shown = await browser.follow(page)
            pages.append((page.status, page.location, set(browser.cookies), shown.text))
        assert pages[0] == pages[1]

        browser = portal.browser()
        page = await browser.follow(await sent(browser, **(fields | {"username": person.username})))
        code = await portal.codes.code_for(fields["email"], "register", 2)
        page = await browser.submit(page, "/register/code", code="0000000000")
        assert "wrong or no longer good" in page.text
        page = await browser.submit(page, "/register/code", code=code)
        assert "Somebody has this username" in page.text
        page = await browser.submit(page, "/register/code", username=fields["username"])
        page = await browser.follow(page)
        assert (page.path, "You are registered" in page.said) == ("/login", True)
        assert CODE_COOKIE not in browser.cookies


@pytest.fixture
async def invited(portal: ComposedPortal) -> tuple[dict[str, str], str]:
    """Fields that somebody with an invitation types, and its code."""
    fields = filled()
    await administration(portal.users.parts).invite(invitation(email=fields["email"]))
    return fields, await portal.codes.code_for(fields["email"], "invite")


async def test_an_invitation_registers_where_nobody_else_may(
    portal: ComposedPortal, browser: Visitor, invited: tuple[dict[str, str], str]
) -> None:
    fields, code = invited
    with portal.users_with(registration="invited"):
        page = await sent(browser, **fields, invitation_code="0000000000")
        assert "wrong or no longer good" in page.text
        page = await browser.submit(page, "/register", fields, invitation_code=code)
        assert (page.status, page.location) == (303, "/account")
    assert "invitation_code" in (await browser.get("/register?invited")).form("/register").names
    assert "invitation_code" not in (await browser.get("/register")).form("/register").names


async def test_where_registration_is_closed_there_is_no_form(portal: ComposedPortal, browser: Visitor) -> None:
    with portal.users_with(registration="closed"):
        page = await browser.get("/register")
    assert "Nobody can register" in page.text
    assert [form.action for form in page.document.forms] == []
