"""Administrators look for accounts and change them; nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browsing import Page
from tests.composed_portal import ComposedPortal, Person, Visitor


@pytest.fixture
async def admin(portal: ComposedPortal, browser: Visitor) -> Visitor:
    """Logged in a moment ago."""
    person = await portal.administrator()
    await browser.log_in(person)
    return browser


async def changed(admin: Visitor, person: Person, opened: Page, **fields: Any) -> Page:
    return await admin.follow(await admin.submit(opened, of(person), **fields))


def of(person: Person) -> str:
    return f"/admin/accounts/{person.id}"


async def test_pages_of_the_list_keep_what_was_looked_for(portal: ComposedPortal, admin: Visitor) -> None:
    people = [await portal.person(groups=["many"]) for _ in range(26)]
    page = await admin.get("/admin/accounts", group="many", is_active="true", is_admin="")
    shown = page.links
    following = next(link for link in page.links if "cursor=" in link)
    page = await admin.get(following)
    assert "group=many" in following
    assert page.form("/admin/accounts").fields["group"] == "many"
    assert {of(each) for each in people} <= {*shown, *page.links}
    assert "/admin/accounts?is_active=true&group=many" in page.links


async def test_a_search_finds_a_whole_username_address_or_id_in_any_case(
    portal: ComposedPortal, admin: Visitor
) -> None:
    person = await portal.person()
    for text in (person.username.upper(), person.email, str(person.id)):
        page = await admin.get("/admin/accounts", q=text)
        assert of(person) in page.links, text
    assert of(person) not in (await admin.get("/admin/accounts", q=person.email[:-1])).links


async def test_what_is_changed_is_that_account_and_nothing_else_of_it(portal: ComposedPortal, admin: Visitor) -> None:
    person = await portal.person(groups=["staff"])
    page = await admin.get(of(person))
    page = await changed(admin, person, page, name="Grace", groups="editors, staff", is_active=None)
    assert (page.status, page.alert) == (200, "")
    assert page.form(of(person)).fields.items() >= {"name": "Grace", "groups": "editors, staff"}.items()
    assert "is_active" not in page.form(of(person)).fields


async def test_a_form_that_somebody_overtook_changes_nothing_and_says_so(
    portal: ComposedPortal, admin: Visitor
) -> None:
    person = await portal.person(name="Ada")
    opened = await admin.get(of(person))
    await changed(admin, person, opened, name="Grace")
    page = await changed(admin, person, opened, lastname="Hopper")
    assert "Nothing of yours was saved" in page.alert
    assert page.form(of(person)).fields["name"] == "Grace"
    assert "Hopper" not in page.html


async def test_a_form_without_the_version_changes_nothing(portal: ComposedPortal, admin: Visitor) -> None:
    person = await portal.person(name="Ada")
    page = await changed(admin, person, await admin.get(of(person)), name="Grace", etag="*")
    assert "Nothing of yours was saved" in page.alert


@pytest.mark.parametrize("path", ["", "/new", "/{}", "/{}/delete"])
async def test_who_is_no_administrator_sees_no_page_of_theirs(
    portal: ComposedPortal, browser: Visitor, path: str
) -> None:
    person = await portal.person()
    path = f"/admin/accounts{path.format(person.id)}"
    assert (await browser.get(path)).location.startswith("/login?rd=%2Fadmin")
    await browser.log_in(person)
    page = await browser.get(path)
    assert (page.status, "administrators" in page.text) == (403, True)


@pytest.mark.parametrize("path", ["/{}", "/{}/delete", "/{}/vouch", "/new"])
async def test_who_is_no_administrator_changes_nothing_here_not_even_their_own_account(
    portal: ComposedPortal, browser: Visitor, path: str
) -> None:
    person = await portal.person()
    page = await browser.log_in(person)
    given = page.form("/logout").fields | {"name": "Grace", "etag": '"1"', "is_admin": "1"}
    page = await browser.post(f"/admin/accounts{path.format(person.id)}", given)
    assert page.status == 403
    assert "Grace" not in (await browser.get("/account")).text


async def test_a_reset_of_factors_tells_that_the_password_is_enough_now(portal: ComposedPortal, admin: Visitor) -> None:
    person = await portal.person()
    path = f"{of(person)}/factors"
    page = await admin.get(path)
    assert "the password alone opens this account" in page.text
    page = await admin.follow(await admin.submit(page, path))
    assert "The password alone opens this account now" in page.said


async def test_an_old_login_sees_an_account_and_comes_back_to_it_to_change_it(
    portal: ComposedPortal, browser: Visitor
) -> None:
    admin, person = await portal.administrator(), await portal.person()
    await browser.log_in(admin)
    opened = await browser.get(of(person))
    await portal.age_login(admin, 3600)
    page = await browser.get(of(person))
    assert person.email in page.text
    assert f"/step-up?rd={of(person)}" in page.links
    assert all(form.action != of(person) for form in page.document.forms)
    encoded = of(person).replace("/", "%2F")
    assert (await browser.submit(opened, of(person), name="Grace")).location == f"/step-up?rd={encoded}"
    assert (await browser.get("/admin/accounts/new")).location == "/step-up?rd=%2Fadmin%2Faccounts%2Fnew"


async def test_nobody_takes_their_own_rights_or_login_away(portal: ComposedPortal, browser: Visitor) -> None:
    admin = await portal.administrator(groups=["staff"])
    await browser.log_in(admin)
    page = await browser.get(of(admin))
    assert {"is_admin", "is_active", "groups"}.isdisjoint(page.form(of(admin)).names)
    page = await changed(browser, admin, page, name="Grace")
    assert (page.alert, "staff" in page.text, "Grace" in page.text) == ("", True, True)
