"""GET /auth/challenge: whether the code has been delivered, and when another one can be had."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import TOKEN_MISSING, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import bearer, challenged, log_in, register, submit_code, wrong
from tests.stacks.time_passes import seconds_pass

COOLDOWN = 30
SECONDS = 30.0


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack, is_2fa=True)


async def ask(stack: Stack, token: str) -> httpx.Response:
    return await stack.http.get("/api/v1/auth/challenge", headers=bearer(token))


async def until(stack: Stack, token: str, status: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any]:
        answer = await ask(stack, token)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert body["status"] == status
        return body

    return await eventually(reached, SECONDS)


async def test_a_code_that_has_arrived_is_delivered(stack: Stack, person: Person) -> None:
    token, _ = await challenged(stack, person)

    told = await until(stack, token, "delivered")

    assert (told["resends_left"], told["attempts_left"]) == (3, 5)
    assert 200 < told["expires_in"] <= 240
    assert not told["resend_allowed"]
    assert 1 <= told["resend_in"] <= COOLDOWN
    assert (told["methods"], told["sent"]) == (["email"], True)
    local, domain = person.email.split("@")
    assert told["email_hint"] == f"{local[0]}***@{domain[0]}***.{domain.rpartition('.')[2]}"
    assert told.keys() == {
        *("methods", "sent", "email_hint", "status", "resend_allowed", "resend_in", "resends_left", "attempts_left"),
        "expires_in",
    }


async def test_another_code_is_delivered_anew(stack: Stack, person: Person) -> None:
    token, _ = await challenged(stack, person)
    await until(stack, token, "delivered")
    await seconds_pass(stack, person, COOLDOWN)
    told = (await ask(stack, token)).json()
    assert (told["resend_allowed"], told["resend_in"]) == (True, 0)

    answer = await stack.http.post("/api/v1/auth/resend-otp", headers=bearer(token))

    assert answer.status_code == 202
    assert (await ask(stack, token)).json()["resends_left"] == 2
    await stack.inbox.wait_for_code(person.email, after=1)
    await until(stack, token, "delivered")


async def test_wrong_codes_are_counted_down(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)

    await submit_code(stack, token, wrong(code))

    assert (await ask(stack, token)).json()["attempts_left"] == 4


async def test_a_challenge_that_is_used_spent_or_expired_is_over(stack: Stack, person: Person) -> None:
    used, code = await challenged(stack, person)
    assert (await submit_code(stack, used, code)).status_code == 200
    refused(await ask(stack, used), *TOKEN_NOT_VALID)

    spent, code = await challenged(stack, person)
    for _ in range(5):
        await submit_code(stack, spent, wrong(code))
    refused(await ask(stack, spent), *TOKEN_NOT_VALID)

    expired, _ = await challenged(stack, person)
    await seconds_pass(stack, person, 240)
    refused(await ask(stack, expired), *TOKEN_NOT_VALID)


async def test_only_who_holds_the_temporary_token_is_told(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    for token in (tokens.access, tokens.refresh, "no.token.atall"):
        answer = await ask(stack, token)
        refused(answer, *TOKEN_NOT_VALID)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    answer = await stack.http.get("/api/v1/auth/challenge")
    refused(answer, *TOKEN_MISSING)
    assert answer.headers["cache-control"] == "no-store"
