"""Where an account is logged in, and the devices that it trusts: shown to its owner, and ended."""

from __future__ import annotations

import re

from tests.browsing import Browser
from tests.composed_portal import ComposedPortal, Visitor

SESSIONS = "/account/sessions"
DEVICES = "/account/devices"


async def is_logged_in(browser: Browser) -> bool:
    return (await browser.get("/account")).status == 200


async def test_sessions_are_ended_one_by_one_all_others_and_everywhere(
    portal: ComposedPortal, browser: Visitor
) -> None:
    person = await portal.person()
    others = [portal.browser() for _ in range(3)]
    for each in (*others, browser):
        await each.log_in(person)

    page = await browser.get(SESSIONS)
    assert all(each.address in page.text for each in (*others, browser))
    rows = re.findall(r"<tr>.*?</tr>", page.html, re.DOTALL)
    (own,) = (row for row in rows if "This one" in row)
    assert browser.address in own
    row = next(row for row in rows if f">{others[0].address}<" in row)
    action = re.search(rf'action="({SESSIONS}/[0-9a-f-]+)"', row)
    assert action
    page = await browser.follow(await browser.submit(page, action[1]))
    assert [await is_logged_in(each) for each in (*others, browser)] == [False, True, True, True]

    page = await browser.follow(await browser.submit(page, SESSIONS))
    assert [await is_logged_in(each) for each in (*others, browser)] == [False, False, False, True]

    page = await browser.follow(await browser.submit(page, f"{SESSIONS}/everywhere"))
    assert page.path == "/login"
    assert not await is_logged_in(browser)


async def test_devices_are_forgotten(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person(is_2fa=True)
    for number, each in enumerate((portal.browser(), browser), 1):
        page = await each.log_in(person)
        code = await portal.inbox.code_for(person.email, number)
        await each.submit(page, "/login/verify", otp=code, remember="1")

    page = await browser.get(DEVICES)
    forms = [form.action for form in page.document.forms if form.action.startswith(f"{DEVICES}/")]
    assert len(forms) == 2
    page = await browser.follow(await browser.submit(page, forms[0]))
    assert forms[0] not in page.html
    assert forms[1] in page.html
    page = await browser.follow(await browser.submit(page, DEVICES))
    assert page.said == "All devices are forgotten."
    assert forms[1] not in page.html
