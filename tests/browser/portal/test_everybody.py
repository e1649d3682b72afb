"""Pages are for everybody: by keyboard alone, without scripts and in German, after a mistake, as an administrator."""

from __future__ import annotations

from typing import Final

from tests.browser.portal.walk import Walk
from tests.stacks.stack import PASSWORD, Person
from tests.stacks.standalone import Standalone
from tests.stacks.steps import register, somebody

# The element that has the focus: what it is called, and whether it is seen to have the focus.
_FOCUSED: Final = """() => {
    const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
    const seen = box.width >= 24 && box.height >= 24 && box.top >= 0 && box.bottom <= innerHeight;
    return [element.id || element.innerText.trim(), seen && style.outlineStyle === "solid"];
}"""


async def tab(walker: Walk, key: str = "Tab") -> str:
    await walker.page.keyboard.press(key)
    name, is_seen = await walker.page.evaluate(_FOCUSED)
    assert is_seen, f"{name} on {walker.path} is not seen to have the focus"
    return str(name)


async def test_a_keyboard_is_enough_to_log_in_and_out(walker: Walk, stack: Standalone) -> None:
    person = await register(stack, is_2fa=True)
    keyboard = walker.page.keyboard
    await walker.go("/login")

    await keyboard.type(person.username)
    assert await tab(walker) == "password"
    await keyboard.type(person.password)
    assert await tab(walker) == "keep"
    await keyboard.press("Space")
    assert await tab(walker) == "Log in"
    async with walker.page.expect_navigation():
        await keyboard.press("Enter")
    await keyboard.type(await stack.inbox.wait_for_code(person.email))
    async with walker.page.expect_navigation():
        await keyboard.press("Enter")
    assert walker.path == "account"

    assert await tab(walker) == "To the content"
    await keyboard.press("Enter")
    assert await tab(walker) == "Change name or username"
    while await tab(walker, "Shift+Tab") != "Log out":
        pass
    async with walker.page.expect_navigation():
        await keyboard.press("Enter")
    assert walker.path == "login"


async def test_all_but_passkeys_works_without_scripts_and_in_german(scriptless: Walk, stack: Standalone) -> None:
    person = await register(stack, is_2fa=True)
    await scriptless.go("/login?rd=/account/sessions")
    await scriptless.page.get_by_role("link", name="Deutsch").click()
    assert await scriptless.text("h1") == "Anmelden"

    await scriptless.send("/login", username=person.username, password="wrong horse")
    assert "falsch" in await scriptless.text("[role=alert]")
    assert (await scriptless.page.title()).startswith("Das hat nicht geklappt: Anmelden ")

    await scriptless.send("/login", username=person.username, password=PASSWORD)
    code = await stack.inbox.wait_for_code(person.email)
    await scriptless.send("/login/verify", otp=code)
    assert scriptless.path == "account/sessions"

    for path in ("", "/profile", "/password", "/address", "/factors", "/factors/app", "/factors/mail", "/factors/codes",
                 "/factors/passkeys/new", "/devices", "/delete"):  # fmt: skip
        await scriptless.visit(f"/account{path}")
    await scriptless.send("/logout")
    assert scriptless.path == "login"


async def test_a_page_says_what_was_wrong_beside_the_field_and_in_its_title(walker: Walk) -> None:
    person = somebody()
    await walker.go("/register")
    await walker.send(
        "/register", email=person.email, username="-", name="http://a.example", lastname="Lee", password=PASSWORD,
        confirm_password="another", picture="register-wrong",
    )  # fmt: skip
    wrong = walker.page.locator("[aria-invalid]").first
    about = (await wrong.get_attribute("aria-describedby") or "").split()[0]
    assert await walker.text(f"#{about}")
    assert (await walker.page.title()).startswith("That did not work: ")

    await walker.visit("/nowhere")
    assert (await walker.page.title()).startswith("That did not work: There is no such page ")
    await walker.visit("/login")
    for reason in ("email_not_verified", "unknown"):
        await walker.visit(f"/denied?reason={reason}", picture=f"denied-{reason}")


async def test_an_administrator_finds_helps_and_invites_people(walker: Walk, stack: Standalone) -> None:
    person = await register(stack, Person(email="martin@example.org", username="martin.gore"))
    known = len(stack.inbox.codes(stack.admin.email))
    await walker.go("/admin/accounts")
    await walker.leave("/login", username=stack.admin.username, password=stack.admin.password)
    code = await stack.inbox.wait_for_code(stack.admin.email, after=known)
    await walker.send("/login/verify", otp=code)
    assert walker.path == "admin/accounts"

    await walker.send("/admin/accounts", q=person.username, picture="admin-accounts-found")
    await walker.page.get_by_role("link", name="Dave Gahan").click()
    await walker.see("admin-account")
    for path in ("new", f"{person.id}/factors", f"{person.id}/delete"):
        await walker.visit(f"/admin/accounts/{path}")
    await walker.visit("/admin/invitations")
    await walker.send("/admin/invitations", email=somebody().email, picture="admin-invited")
    await walker.visit("/step-up?rd=/admin/accounts&acr=2")
    await walker.visit("/account/sessions")
