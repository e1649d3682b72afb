"""All that somebody does with an account, from its registration to its end, in a browser alone."""

from __future__ import annotations

from pathlib import Path

import pyotp
import pytest

from tests.browser.authenticator import Authenticator
from tests.browser.portal.walk import Walk
from tests.stacks.stack import PASSWORD, Person
from tests.stacks.standalone import Standalone

MOVED = "lee@example.net"
NEW_PASSWORD = "another horse battery"
FACTORS = "/account/factors"


@pytest.fixture
def album(pictures: Path | None, tmp_path: Path) -> Path:
    return pictures or tmp_path


async def test_an_account_is_registered_proved_secured_moved_reset_and_deleted(
    walker: Walk, stack: Standalone, album: Path
) -> None:
    walker.album = album
    person = Person(email="ann.lee@example.org", username="ann.lee")
    device = await Authenticator.of(walker.page)
    await device.owner_is(here=False)

    await register(walker, person)
    await prove_the_address(walker, stack, person)
    await log_in_by_mailed_code(walker, stack, person)
    await enrol_an_app(walker)
    await device.owner_is(here=True)
    await enrol_a_passkey(walker)
    await log_in_by_passkey_alone(walker)
    await change_the_address(walker, stack, MOVED)
    await device.owner_is(here=False)
    await reset_the_password(walker, stack, MOVED)
    await delete_the_account(walker, person, device)


async def register(walker: Walk, person: Person) -> None:
    await walker.visit("/register")
    await walker.send(
        "/register", email=person.email, username=person.username, name="Ann", lastname="Lee",
        password=PASSWORD, confirm_password=PASSWORD,
    )  # fmt: skip
    assert walker.path == "account"


async def prove_the_address(walker: Walk, stack: Standalone, person: Person) -> None:
    code = await stack.inbox.wait_for_account_code(person.email, purpose="verify")
    await walker.visit("/account/address")
    await walker.send("/account/address", having="[value=prove]", code=code.lower())
    assert "confirmed" in await walker.text("[role=status]")


async def log_in_by_mailed_code(walker: Walk, stack: Standalone, person: Person) -> None:
    await walker.visit(f"{FACTORS}/mail")
    await walker.send(f"{FACTORS}/mail", picture="account-factors-mailed")
    await walker.send("/logout", picture="login-again")
    await walker.send("/login", username=person.username, password=PASSWORD)
    code = await stack.inbox.wait_for_code(person.email)
    await walker.send("/login/verify", otp=f" {code[:3]} {code[3:]} ")
    assert walker.path == "account"


async def enrol_an_app(walker: Walk) -> None:
    await walker.visit(f"{FACTORS}/app")
    await walker.send(f"{FACTORS}/app", name="Phone", picture="account-factors-app-key")
    secret = "".join((await walker.text(".secret")).split())
    await walker.send(f"{FACTORS}/app/", otp=pyotp.TOTP(secret).now(), picture="account-factors-codes-made")
    assert await walker.page.locator(".codes li").count() == 10


async def enrol_a_passkey(walker: Walk) -> None:
    await walker.visit(f"{FACTORS}/passkeys/new")
    await walker.send(f"{FACTORS}/passkeys/new", name="Laptop", picture="account-factors-passkey-made")
    await walker.visit(f"{FACTORS}/passkeys")
    assert "Laptop" in await walker.text()
    await walker.visit(FACTORS)


async def log_in_by_passkey_alone(walker: Walk) -> None:
    """The browser offers it by itself, and its owner says yes."""
    await walker.leave("/logout")
    await walker.page.wait_for_url("**/account")
    await walker.see("account-secured")


async def change_the_address(walker: Walk, stack: Standalone, new: str) -> None:
    await walker.visit("/account/address", picture="account-address-proved")
    await walker.send("/account/address", having="[value=change]", email=new, picture="account-address-pending")
    code = await stack.inbox.wait_for_account_code(new, purpose="change")
    await walker.go("/account/address")
    await walker.send("/account/address", having="[value=prove]", code=code, picture="account-moved")
    assert new in await walker.text()


async def reset_the_password(walker: Walk, stack: Standalone, email: str) -> None:
    await walker.visit("/forgot")
    await walker.send("/forgot", email=email)
    code = await stack.inbox.wait_for_account_code(email, purpose="reset")
    await walker.send(
        "/forgot/code", code=code, password=NEW_PASSWORD, confirm_password=NEW_PASSWORD, picture="login-reset"
    )
    assert walker.path == "login"


async def delete_the_account(walker: Walk, person: Person, device: Authenticator) -> None:
    await walker.send("/login", username=person.username, password=NEW_PASSWORD, picture="login-verify-passkey")
    await device.owner_is(here=True)
    await walker.leave("/login/verify")
    await walker.visit("/account/delete")
    await walker.send("/account/delete", username=person.username)
    await device.owner_is(here=False)
    await walker.go("/login")
    await walker.leave("/login", username=person.username, password=NEW_PASSWORD)
    assert "wrong" in await walker.text("[role=alert]")
