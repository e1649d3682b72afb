"""Second factors of one's own account, set up and taken away in a browser without scripts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pyotp
from structlog.testing import capture_logs

from login2fa_testing.software_passkey import SoftwarePasskey
from tests.browsing import ORIGIN, Browser, Page
from tests.composed_portal import ComposedPortal, Visitor

FACTORS = "/account/factors"
APP = f"{FACTORS}/app"
PASSKEYS = f"{FACTORS}/passkeys"
CODE = re.compile(r"<li>([0-9A-Z]{5}-[0-9A-Z]{5})</li>")


async def shown_key(browser: Browser) -> tuple[Page, str]:
    """The page of a new app, and its key."""
    page = await browser.submit(await browser.get(APP), APP, name="My phone")
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', page.html)
    assert found, page.html
    return page, found[1].replace(" ", "")


def confirmation(page: Page) -> str:
    """Where the form for a code of the app is sent to."""
    return next(form.action for form in page.document.forms if form.action.endswith("/confirm"))


async def test_the_key_of_an_app_and_the_recovery_codes_are_each_on_one_page_and_in_no_log(
    portal: ComposedPortal, browser: Visitor
) -> None:
    await browser.log_in(await portal.person())
    with capture_logs() as lines:
        page, key = await shown_key(browser)
        assert "<svg" in page.html
        assert not re.search(r"<style|\sstyle=|<script", page.html)

        app, confirm = pyotp.TOTP(key), confirmation(page)
        page = await browser.submit(page, confirm, otp=app.at(0))
        assert page.status == 422
        assert page.alert
        assert key not in page.html.replace(" ", "")

        code = app.at(datetime.now(UTC))
        page = await browser.submit(page, confirm, otp=f"{code[:3]} {code[3:]}")
        codes = CODE.findall(page.html)
        assert len(codes) == 10

    assert lines
    assert [line for line in lines if any(secret in str(line) for secret in (key, *codes))] == []
    assert "10 left" in (await browser.get(FACTORS)).text
    for path in (FACTORS, APP, confirm, f"{FACTORS}/codes"):
        later = await browser.get(path)
        assert later.status == 200
        assert not any(secret in later.html.replace(" ", "") for secret in (key, *codes))


async def test_a_key_that_waits_no_longer_is_followed_by_a_new_one(portal: ComposedPortal, browser: Visitor) -> None:
    await browser.log_in(await portal.person())
    older, _ = await shown_key(browser)
    await shown_key(browser)
    page = await browser.submit(older, confirmation(older), otp="123456")
    assert page.alert
    assert page.form(APP)


async def test_a_passkey_is_added_and_named_and_taken_away_after_another_look_at_its_owner(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person, other = await portal.person(), portal.browser()
    await browser.log_in(person)
    await other.log_in(person)

    page = await browser.get(f"{PASSKEYS}/new")
    form = page.form(f"{PASSKEYS}/new")
    asked = await browser.post(form.attributes["data-options"], {"form_token": form.fields["form_token"]})
    made = asked.answer.json()
    answer = {"ceremony": made["ceremony"], "name": "Laptop"}
    assert (await browser.submit(page, form.action, **answer, credential="{")).alert
    credential = SoftwarePasskey(ORIGIN).answer(made["options"])
    page = await browser.submit(page, form.action, **answer, credential=json.dumps(credential))
    codes = CODE.findall(page.html)
    assert len(codes) == 10
    assert (await other.follow(await other.get(FACTORS))).path == "/login"

    page = await browser.get(PASSKEYS)
    assert "Laptop" in page.text
    one = next(link for link in page.links if re.fullmatch(rf"{PASSKEYS}/[0-9a-f-]{{36}}", link))
    assert "64" in (await browser.submit(await browser.get(one), one, name="x" * 65)).alert
    page = await browser.follow(await browser.submit(await browser.get(one), one, name="Work <b>"))
    assert "Work &lt;b&gt;" in page.html

    remove = f"{one}/remove"
    page = await browser.follow(await browser.submit(await browser.get(remove), remove))
    assert page.path == "/step-up"
    page = await browser.follow(await browser.submit(page, "/step-up"))
    page = await browser.get(next(link for link in page.links if "method=recovery" in link))
    page = await browser.follow(await browser.submit(page, "/login/verify", code=codes[0]))
    page = await browser.follow(await browser.submit(page, remove))
    assert (page.path, page.said) == (PASSKEYS, "The passkey is removed.")
    assert one not in page.links


async def test_a_login_that_is_too_old_is_followed_by_a_newer_one_and_the_page_of_the_form(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person(is_2fa=False)
    await browser.log_in(person)
    key, _ = await shown_key(browser)
    await portal.age_login(person, 600)
    for page, action in (
        (await browser.get(APP), APP),
        (await browser.get(f"{FACTORS}/mail"), f"{FACTORS}/mail"),
        (key, confirmation(key)),
    ):
        answer = await browser.submit(page, action)
        assert answer.location == f"/step-up?rd={action.replace('/', '%2F')}"
        assert (await browser.get(action)).status == 200
