"""A forgotten password: what a browser sees, and what nobody can learn from it."""

from __future__ import annotations

from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed_portal import ComposedPortal, Visitor

CODE_COOKIE = "__Host-login2fa-code"


async def test_the_pages_are_the_same_whoever_has_the_address(portal: ComposedPortal) -> None:
    person = await portal.person()
    seen = []
    for email in (person.email, f"not.{person.email}"):
        browser = portal.browser()
        page = await browser.submit(await browser.get("/forgot"), "/forgot", email=email)
        assert browser.cookies[CODE_COOKIE] not in page.location, "it would be in logs and in Referer"
        shown = await browser.follow(page)
        assert browser.cookies[CODE_COOKIE] not in shown.html
        wrong = await browser.submit(
            shown, "/forgot/code", code="0000000000", password=PASSWORD, confirm_password=PASSWORD
        )
        seen.append((page.status, page.location, sorted(browser.cookies), shown.text, wrong.status, wrong.text))
    assert seen[0] == seen[1]


async def test_a_code_sets_a_new_password_and_survives_a_weak_one(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    page = await browser.submit(await browser.get("/forgot"), "/forgot", email=person.email)
    page = await browser.follow(page)
    code = await portal.codes.code_for(person.email, "reset")
    weak = {"password": "password", "confirm_password": "password"}
    page = await browser.submit(page, "/forgot/code", weak, code=code)
    assert "too common" in page.text
    assert page.form("/forgot/code").fields["code"] == code

    new = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    page = await browser.follow(await browser.submit(page, "/forgot/code", new))
    assert (page.path, "new password is set" in page.said) == ("/login", True)
    assert CODE_COOKIE not in browser.cookies
    page = await browser.submit(page, "/login", username=person.username, password=OTHER_PASSWORD)
    assert (page.status, page.location) == (303, "/account")


async def test_without_having_asked_for_a_code_there_is_no_page_for_one(browser: Visitor) -> None:
    for asked_first, path in (("/forgot", "/forgot/code"), ("/register", "/register/code")):
        page = await browser.get(path)
        assert (page.status, page.location) == (303, asked_first)
