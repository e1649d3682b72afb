"""One's own account in a browser."""

from __future__ import annotations

import json

from services.users import accounts
from tests.browsing import Page
from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed_portal import ComposedPortal, Person, Visitor
from tests.servers.databases import connected

LONG_AGO = 3600


async def row_of(portal: ComposedPortal, person: Person) -> dict[str, object] | None:
    async with portal.users.parts.database.transaction() as connection:
        row = await accounts.find(connection, person.id)
    return dict(row._mapping) if row is not None else None


async def logged_in(portal: ComposedPortal, browser: Visitor) -> Person:
    person = await portal.person()
    assert (await browser.log_in(person)).path == "/account"
    return person


async def changed(browser: Visitor, path: str, **fields: str) -> Page:
    return await browser.submit(await browser.get(path), path, fields)


async def test_strangers_are_sent_to_the_login_and_back(browser: Visitor) -> None:
    for page in ("", "/profile", "/address", "/password", "/export", "/delete"):
        answer = await browser.get(f"/account{page}")
        assert (answer.status, answer.location) == (303, f"/login?rd=%2Faccount{page.replace('/', '%2F')}")


async def test_the_first_page_says_what_protects_the_account_too_little(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await logged_in(portal, browser)
    assert "Your password alone protects" in (await browser.get("/account")).text
    for factors, said in (([], "Codes by mail are your only"), (["totp"], "You have no recovery codes")):
        async with connected(portal.databases.users_url) as sql:
            change = "UPDATE users.accounts SET is_2fa = true, factors = $2::text[] WHERE id = $1"
            await sql.execute(change, person.id, factors)
        assert said in (await browser.get("/account")).text


async def test_a_name_is_changed_at_any_time_and_a_username_after_a_recent_login(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await logged_in(portal, browser)
    await portal.age_login(person, LONG_AGO)
    page = await browser.follow(await changed(browser, "/account/profile", name="Augusta"))
    assert (page.path, page.said) == ("/account", "Your changes are saved.")
    assert "Augusta" in page.text
    page = await changed(browser, "/account/profile", username=f"not{person.username}")
    assert page.location == "/step-up?rd=%2Faccount%2Fprofile"
    page = await changed(browser, "/account/profile", name="www.example.com")
    assert (page.status, "holds no link" in page.text) == (422, True)


async def test_a_new_address_counts_once_its_code_is_back_and_can_be_forgotten_before(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await logged_in(portal, browser)

    async def asked(address: str) -> Page:
        page = await browser.get("/account/address")
        page = await browser.submit(page, "/account/address", having={"act": "change"}, email=address)
        return await browser.follow(page)

    page = await asked(f"other.{person.email}")
    assert (page.path, "mailed a code" in page.said) == ("/account/address", True)
    page = await browser.submit(page, "/account/address", having={"act": "keep"})
    assert "other." not in (await browser.follow(page)).text

    new = f"new.{person.email}"
    page = await asked(new)
    page = await browser.submit(page, "/account/address", having={"act": "prove"}, code="12345")
    assert "ten letters and digits" in page.text
    code = await portal.codes.code_for(new, "change")
    page = await browser.submit(page, "/account/address", having={"act": "prove"}, code=code)
    page = await browser.follow(page)
    assert (page.path, page.said) == ("/account", "Thank you: your address is confirmed.")
    assert new in page.text


async def test_where_no_address_is_proved_a_new_one_counts_at_once(portal: ComposedPortal, browser: Visitor) -> None:
    person = await logged_in(portal, browser)
    with portal.users_with(email_verification="off"):
        page = await changed(browser, "/account/address", act="change", email=f"new.{person.email}")
        page = await browser.follow(page)
    assert (page.path, page.said) == ("/account", "Your address is changed.")
    assert f"new.{person.email}" in page.text


async def test_a_changed_password_ends_the_other_sessions(portal: ComposedPortal, browser: Visitor) -> None:
    person, elsewhere = await logged_in(portal, browser), portal.browser()
    await elsewhere.log_in(person)
    await portal.age_login(person, LONG_AGO)
    new = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    page = await changed(browser, "/account/password", **new)
    assert "missing or wrong" in page.text
    page = await browser.submit(page, "/account/password", new, current_password=PASSWORD)
    assert "other sessions have ended" in (await browser.follow(page)).said
    assert (await elsewhere.get("/account")).location.startswith("/login")


async def test_the_export_is_a_file_with_all_that_is_kept_and_no_secret(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await logged_in(portal, browser)
    answer = (await browser.get("/account/export")).answer
    assert answer.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert answer.headers["cache-control"] == "no-store"
    kept = json.loads(answer.text)
    assert (kept["account"]["username"], kept["sessions"][0]["current"]) == (person.username, True)
    assert set(kept) == {"account", "factors", "sessions", "devices"}
    row = await row_of(portal, person)
    assert row is not None
    for secret in (row["password_hash"], *browser.cookies.values(), "eyJ", "$argon2"):
        assert str(secret) not in answer.text


async def test_an_account_is_deleted_by_its_form_after_a_recent_login(portal: ComposedPortal, browser: Visitor) -> None:
    person = await logged_in(portal, browser)
    page = await changed(browser, "/account/delete", username="somebody else")
    assert (page.status, "not your username" in page.text) == (422, True)
    fields = {"username": person.username}
    assert (await browser.post("/account/delete", fields)).status == 403, "it comes from no form of ours"
    await portal.age_login(person, LONG_AGO)
    page = await browser.submit(page, "/account/delete", fields)
    assert page.location == "/step-up?rd=%2Faccount%2Fdelete"
    assert await row_of(portal, person) is not None

    browser = portal.browser()
    await browser.log_in(person)
    page = await browser.follow(await changed(browser, "/account/delete", **fields))
    assert (page.path, page.title.startswith("Your account is deleted")) == ("/account/deleted", True)
    assert await row_of(portal, person) is None
    assert (await browser.get("/account")).location.startswith("/login")
