"""Logging in by a browser."""

from __future__ import annotations

from tests.composed_portal import ComposedPortal, Visitor


async def test_a_password_leads_on_with_a_cookie(portal: ComposedPortal, browser: Visitor) -> None:
    person = await portal.person()
    page = await browser.get("/login", rd="/assets/style.css")
    page = await browser.submit(page, "/login", username=person.username, password=person.password)
    assert (page.status, page.location) == (303, "/assets/style.css")
    assert "__Host-login2fa" in browser.cookies
