"""A real browser makes a passkey and logs in with it, at the address that `make up` names."""

from __future__ import annotations

from typing import Any

import jwt

from tests.browser.visitor import Visitor
from tests.stacks.stack import Person
from tests.stacks.standalone import Standalone
from tests.stacks.steps import log_in, register, submit_password

PHISHING_RESISTANT = "urn:login2fa:acr:3"


async def with_passkey(visitor: Visitor, stack: Standalone) -> Person:
    person = await register(stack)
    access = (await log_in(stack, person)).access
    status, answer = await visitor.ceremony(
        "create", "/factors/passkeys/options", "/factors/passkeys", token=access, name="Laptop"
    )
    assert status == 201, answer
    assert answer["name"] == "Laptop"
    return person


def claims(answer: dict[str, Any]) -> dict[str, Any]:
    return jwt.decode(answer["access_token"], options={"verify_signature": False})


async def test_a_passkey_is_a_second_factor(visitor: Visitor, stack: Standalone) -> None:
    person = await with_passkey(visitor, stack)

    challenge = (await submit_password(stack, person)).json()
    assert challenge["methods"][0] == "passkey"
    status, answer = await visitor.ceremony(
        "get", "/challenge/passkey", "/verify-passkey", token=challenge["temporary_token"]
    )

    assert status == 200, answer
    assert claims(answer)["sub"] == person.id
    assert claims(answer)["amr"] == ["pwd", "pop", "user", "mfa"]
    assert claims(answer)["acr"] == PHISHING_RESISTANT


async def test_a_passkey_alone_logs_its_owner_in(visitor: Visitor, stack: Standalone) -> None:
    person = await with_passkey(visitor, stack)

    status, answer = await visitor.ceremony("get", "/passkey/options", "/passkey")

    assert status == 200, answer
    assert claims(answer)["sub"] == person.id
    assert claims(answer)["amr"] == ["pop", "user", "mfa"]
    assert claims(answer)["acr"] == PHISHING_RESISTANT
