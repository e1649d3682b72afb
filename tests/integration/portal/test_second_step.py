"""The second step of a login by a browser: a page for each method."""

from __future__ import annotations

from typing import Any

import pytest

from login2fa_testing.authenticator_app import AuthenticatorApp
from shared.web.cookies import SESSION
from tests.composed_portal import ComposedPortal, Person, Visitor

VERIFY = "/login/verify"
EMAIL = f"{VERIFY}/email"


async def with_app(portal: ComposedPortal) -> tuple[Person, AuthenticatorApp]:
    person = await portal.person()
    return person, await portal.new_app(person)


async def test_a_mailed_code_completes_the_login_as_it_was_begun(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person(is_2fa=True)
    page = await browser.log_in(person, rd="/account/sessions", keep=True)
    assert (page.path, page.title) == (VERIFY, "Code by mail – Login2FA")  # noqa: RUF001 - titles have this dash
    assert SESSION not in browser.cookies
    code = await portal.inbox.code_for(person.email)
    page = await browser.submit(page, VERIFY, otp=f" {code[:3]}-{code[3:]} ")
    assert (page.status, page.location) == (303, "/account/sessions")
    kept = [line for line in page.answer.headers.get_list("set-cookie") if line.startswith(f"{SESSION}=")]
    assert "; Max-Age=" in kept[0]
    assert "__Host-login2fa-login" not in browser.cookies


async def test_no_address_makes_a_session_long(portal: ComposedPortal, browser: Visitor) -> None:
    person, app = await with_app(portal)
    await browser.log_in(person)
    page = await browser.submit(await browser.get(f"{VERIFY}?keep=1"), VERIFY, otp=app.code())
    assert page.status == 303
    line = next(line for line in page.answer.headers.get_list("set-cookie") if line.startswith(f"{SESSION}="))
    assert "; Max-Age=" not in line


async def test_it_is_told_what_has_become_of_the_mail(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person(is_2fa=True)
    page = await browser.log_in(person)
    assert page.said.startswith("A code is on its way to p***@e***.org")
    told = await browser.get(f"{VERIFY}/status")
    assert told.answer.json() == {"text": page.said, "over": False}
    await portal.reports.tell(person, "delivered")
    page = await browser.get(VERIFY)
    assert page.said.startswith("A code was sent to")
    assert (await browser.get(f"{VERIFY}/status")).answer.json() == {"text": page.said, "over": True}
    other = portal.browser()
    again = await portal.person(is_2fa=True)
    await other.log_in(again)
    await portal.reports.tell(again, "given_up")
    assert "could not be delivered" in (await other.get(VERIFY)).said


async def test_without_a_script_the_page_looks_a_few_times_while_the_mail_is_under_way_and_no_longer(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person(is_2fa=True)
    page = await browser.log_in(person, rd="/account/sessions")
    looks = 0
    while page.document.refreshes:
        seconds, _, url = page.document.refreshes.partition("; url=")
        assert seconds == "5"
        page = await browser.get(url)
        looks += 1
    assert looks == 6
    assert page.form(VERIFY).fields["rd"] == "/account/sessions"
    page = await browser.submit(page, VERIFY, otp="12")
    assert (page.status, page.document.refreshes) == (422, "")  # what is being typed is not lost
    await portal.reports.tell(person, "delivered")
    assert not (await browser.get(VERIFY)).document.refreshes


async def test_another_code_is_sent_when_it_may_be_and_else_the_wait_is_told(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person(is_2fa=True)
    page = await browser.log_in(person)
    page = await browser.submit(page, EMAIL)
    assert page.status == 429
    assert page.alert.startswith("Too many attempts. Please wait ")
    assert page.form(VERIFY)  # the code that was sent is still good


async def test_a_mail_is_sent_only_when_it_is_chosen_among_other_ways(portal: ComposedPortal, browser: Visitor) -> None:
    person, _ = await with_app(portal)
    await portal.turn_on_mailed_codes(person)
    page = await browser.log_in(person, keep=True)
    (link,) = [link for link in page.links if "method=email" in link]
    page = await browser.get(link)
    assert "We can send a code to p***@e***.org." in page.text
    assert portal.inbox.codes[person.email] == []
    page = await browser.follow(await browser.submit(page, EMAIL))
    code = await portal.inbox.code_for(person.email)
    page = await browser.submit(page, VERIFY, otp=code)
    assert page.location == "/account"
    assert "; Max-Age=" in str([line for line in page.answer.headers.get_list("set-cookie") if SESSION in line])


@pytest.mark.parametrize("method", ["totp", "recovery"])
async def test_a_code_that_is_wrong_costs_an_attempt_and_the_last_one_the_login(
    portal: ComposedPortal, browser: Visitor, method: str
) -> None:
    person, _ = await with_app(portal)
    page = await browser.log_in(person, rd="/account/sessions")
    page = await browser.get(f"{page.url}&method={method}")
    wrong: dict[str, Any] = {"otp": "000000"} if method == "totp" else {"code": "aaaaa-aaaaa"}
    for left in 4, 3, 2, 1:
        page = await browser.submit(page, VERIFY, **wrong)
        assert page.status == 422
        assert f"Attempts left: {left}." in page.text
    page = await browser.follow(await browser.submit(page, VERIFY, **wrong))
    assert (page.path, page.said) == ("/login", "Too many wrong codes. Please log in again.")
    assert page.form("/login").fields["rd"] == "/account/sessions"


async def test_the_strongest_way_is_first_and_the_others_are_links(portal: ComposedPortal, browser: Visitor) -> None:
    person, app = await with_app(portal)
    page = await browser.log_in(person, keep=True)
    assert page.title.startswith("Code from your app")
    (other,) = [link for link in page.links if "method=recovery" in link]
    page = await browser.get(other)
    page = await browser.follow(await browser.submit(page, VERIFY, code=app.recovery_codes[0].upper()))
    assert page.path == "/account"
    assert "Codes left: 9" in page.said
    assert "Codes left" not in (await browser.get("/account")).text


async def test_a_device_that_is_remembered_is_not_asked_again(portal: ComposedPortal, browser: Visitor) -> None:
    person, app = await with_app(portal)
    page = await browser.log_in(person)
    await browser.submit(page, VERIFY, otp=app.code(), remember="1")
    assert "__Host-login2fa-device" in browser.cookies
    del browser.cookies[SESSION]
    assert (await browser.log_in(person)).path == "/account"


async def test_a_way_that_is_not_offered_leads_to_one_that_is(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person(is_2fa=True)
    page = await browser.log_in(person)
    page = await browser.get(f"{VERIFY}?method=passkey")
    assert page.title.startswith("Code by mail")
    for method in "password", "passkey", "nothing":
        token = page.form(VERIFY).fields["form_token"]
        again = await browser.post(f"{VERIFY}?method={method}", {"form_token": token, "credential": "{}"})
        assert again.status == 422 or again.location.startswith("/login"), method


async def test_whoever_has_begun_no_login_begins_one(browser: Visitor) -> None:
    page = await browser.get(VERIFY, rd="/account/sessions")
    assert page.location == "/login?rd=%2Faccount%2Fsessions"
    page = await browser.get("/login")
    assert "log in again" in page.said
