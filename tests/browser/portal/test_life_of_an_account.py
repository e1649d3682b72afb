"""All that somebody does with an account, from its registration to its end, in a browser alone."""

from __future__ import annotations

from pathlib import Path

import pyotp
import pytest

from tests.browser.authenticator import Authenticator
from tests.browser.portal.walk import Walk
from tests.stacks.stack import PASSWORD, Person
from tests.stacks.standalone import Standalone
from tests.stacks.steps import somebody

NEW_PASSWORD = "another horse battery"
FACTORS = "/account/factors"


@pytest.fixture
def album(pictures: Path | None, tmp_path: Path) -> Path:
    return pictures or tmp_path


async def test_an_account_is_registered_proved_secured_moved_reset_and_deleted(
    walker: Walk, stack: Standalone, album: Path
) -> None:
    walker.album = album
    person = somebody()
    device = await Authenticator.of(walker.page)
    await device.owner_is(here=False)

    await register(walker, person)
    await prove_the_address(walker, stack, person)
    await log_in_by_mailed_code(walker, stack, person)
    await enrol_an_app(walker)
    await device.owner_is(here=True)
    await enrol_a_passkey(walker)
    await log_in_by_passkey_alone(walker)
    moved = somebody()
    await change_the_address(walker, stack, moved.email)
    await reset_the_password(walker, stack, moved.email)
    await delete_the_account(walker, person)


async def register(walker: Walk, person: Person) -> None:
    await walker.go("/register")
    await walker.see()
    await walker.send(
        "/register", email=person.email, username=person.username, name="Ann", lastname="Lee",
        password=PASSWORD, confirm_password=PASSWORD,
    )  # fmt: skip
    assert walker.path == "account"


async def prove_the_address(walker: Walk, stack: Standalone, person: Person) -> None:
    code = await stack.inbox.wait_for_account_code(person.email, purpose="verify")
    await walker.go("/account/address")
    await walker.send("/account/address", press="button[value=prove]", code=code.lower())
    assert "confirmed" in await walker.said()


async def log_in_by_mailed_code(walker: Walk, stack: Standalone, person: Person) -> None:
    await walker.go(f"{FACTORS}/mail")
    await walker.send(f"{FACTORS}/mail")
    await log_out(walker)
    await walker.send("/login", username=person.username, password=PASSWORD)
    code = await stack.inbox.wait_for_code(person.email)
    await walker.send("/login/verify", otp=f" {code[:3]} {code[3:]} ")
    assert walker.path == "account"


async def enrol_an_app(walker: Walk) -> None:
    await walker.go(FACTORS)
    await walker.see()
    await walker.go(f"{FACTORS}/app")
    await walker.send(f"{FACTORS}/app", name="Phone")
    secret = "".join((await walker.page.locator(".secret").inner_text()).split())
    await walker.send(f"{FACTORS}/app/", otp=pyotp.TOTP(secret).now(), name_of_picture="recovery-codes")
    assert await walker.page.locator(".codes li").count() == 10


async def enrol_a_passkey(walker: Walk) -> None:
    await walker.go(f"{FACTORS}/passkeys/new")
    await walker.see()
    await walker.send(f"{FACTORS}/passkeys/new", name="Laptop")
    await walker.go(f"{FACTORS}/passkeys")
    await walker.see()
    assert "Laptop" in await walker.page.locator("main").inner_text()


async def log_in_by_passkey_alone(walker: Walk) -> None:
    """The browser offers it by itself, and its owner says yes."""
    await log_out(walker, see=False)
    await walker.page.wait_for_url("**/account")
    await walker.see("account-with-all")


async def change_the_address(walker: Walk, stack: Standalone, new: str) -> None:
    await walker.go("/account/address")
    await walker.send("/account/address", press="button[value=change]", email=new)
    code = await stack.inbox.wait_for_account_code(new, purpose="change")
    await walker.send("/account/address", press="button[value=prove]", code=code)
    assert new in await walker.page.locator("main").inner_text()


async def reset_the_password(walker: Walk, stack: Standalone, email: str) -> None:
    await walker.go("/forgot")
    await walker.see()
    await walker.send("/forgot", email=email)
    code = await stack.inbox.wait_for_account_code(email, purpose="reset")
    await walker.send("/forgot/code", code=code, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD)
    assert walker.path == "login"


async def delete_the_account(walker: Walk, person: Person) -> None:
    ...


async def log_out(walker: Walk, *, see: bool = True) -> None:
    await walker.go("/account")
    await walker.send("/logout", see=see)
