"""S2: the most common passwords and the account's own names are refused with a reason, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from services.users import weak_passwords
from services.users.problems import PasswordTooWeak
from services.users.schemas import RegistrationIn
from shared.names import canonical
from tests.builders import administration, full_width, registration
from tests.composed import USERS, UsersApp
from tests.security.somebody import register

NAMES = {"email": "rob.smith@example.org", "username": "The_Cure_1979", "name": "Roberto-James", "lastname": "Smithson"}
COMMON = "Password must be less common: this one is among the first that are guessed"
OWN = "Password must be something else than your own name or address"

Offer = Callable[[str], Awaitable[str]]


@pytest.fixture(params=["registration", "change-password", "create-admin"])
async def offer(users_app: UsersApp, request: pytest.FixtureRequest) -> Offer:
    """Offers a password for an account of these names; the reason of the refusal, or nothing."""

    async def register_with(password: str) -> str:
        answer = await users_app.http.post(f"{USERS}/registration", json=registration(password=password, **NAMES))
        return str(answer.json().get("detail", ""))

    async def create_admin(password: str) -> str:
        try:
            await administration(users_app.parts).create(
                password=password, is_2fa=True, is_admin=True,
                email=NAMES["email"], username=NAMES["username"], name=NAMES["name"], lastname=NAMES["lastname"],
            )  # fmt: skip
        except PasswordTooWeak as refusal:
            return refusal.detail
        return ""

    if request.param == "change-password":
        account = await register(users_app, **NAMES)

    async def change(password: str) -> str:
        body = {"password": password, "confirm_password": password}
        headers = users_app.as_(UUID(account["id"]))
        answer = await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)
        return str(answer.json().get("detail", ""))

    return {"registration": register_with, "change-password": change, "create-admin": create_admin}[request.param]


async def test_what_everybody_takes_is_refused_in_any_spelling(offer: Offer) -> None:
    for password in ("password", "PassWord", " password ", full_width("password"), "12345678", "qwertyuiop"):
        assert await offer(password) == COMMON, password


async def test_what_names_the_account_is_refused_in_any_spelling(offer: Offer) -> None:
    for own in (*NAMES.values(), "rob.smith", "Roberto-James Smithson", "roberto-jamessmithson"):
        for password in (own, own.upper(), full_width(own) if own.isascii() and " " not in own else own):
            assert await offer(password) == OWN, password


async def test_no_rule_of_composition_refuses_what_nobody_takes(offer: Offer) -> None:
    assert await offer("zqvxjkwm") == ""


def test_every_one_of_the_3000_most_common_that_are_long_enough_is_on_the_list() -> None:
    lines = weak_passwords._LIST.read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert len({canonical(each) for each in listed[:3000]}) == 3000
    assert min(map(len, listed)) >= 8
    owner = RegistrationIn(email="ann@test.com", username="ann", name="Ann", lastname="Lee", password="")
    for password in listed:
        with pytest.raises(PasswordTooWeak):
            weak_passwords.refuse_weak(password.title(), owner, min_length=8, breached=None)
