"""POST /users/change-password."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import INCORRECT, TOKEN_MISSING, TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack, Tokens
from tests.stacks.steps import bearer, log_in, pair, refresh, register, submit_password, verify_token
from tests.stacks.time_passes import seconds_pass

PATH = "/api/v1/users/change-password"
NEW = "another horse battery"


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def change(stack: Stack, tokens: Tokens, **fields: Any) -> httpx.Response:
    body = {"password": NEW, "confirm_password": NEW} | fields
    return await stack.http.post(PATH, json=body, headers=bearer(tokens.access))


async def of_an_old_login(stack: Stack, person: Person) -> Tokens:
    """The tokens of somebody who logged in six minutes ago."""
    tokens = await log_in(stack, person)
    await seconds_pass(stack, person, 360)
    return pair(await refresh(stack, tokens.refresh))


async def test_the_new_password_is_good_at_once_and_the_old_one_is_not(stack: Stack, person: Person) -> None:
    answer = await change(stack, await log_in(stack, person))

    assert (answer.status_code, answer.json()) == (200, {"message": "Password updated"})
    await log_in(stack, replace(person, password=NEW))
    refused(await submit_password(stack, person), *INCORRECT)


async def test_every_other_session_ends_and_this_one_stays(stack: Stack, person: Person) -> None:
    here, there = await log_in(stack, person), await log_in(stack, person)

    assert (await change(stack, here)).status_code == 200

    me = await stack.http.get("/api/v1/users/me", headers=bearer(there.access))
    refused(me, *TOKEN_NOT_VALID)  # at once: the users service knows first

    async def ended() -> bool:
        return await verify_token(stack, there.access) == 401

    await eventually(ended)
    assert (await refresh(stack, there.refresh)).status_code == 401
    assert await verify_token(stack, here.access) == 200
    assert (await stack.http.get("/api/v1/users/me", headers=bearer(here.access))).status_code == 200
    here = pair(await refresh(stack, here.refresh))
    assert await verify_token(stack, here.access) == 200
    assert (await stack.http.get("/api/v1/users/me", headers=bearer(here.access))).status_code == 200


async def test_passwords_that_differ_are_refused(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    answer = await change(stack, tokens, confirm_password="another horse batterie")

    refused(answer, 400, "passwords_differ", "Passwords do not match")
    await log_in(stack, person)


@pytest.mark.parametrize("weak", ["horse77", "email", "username"])
async def test_a_weak_password_is_refused(stack: Stack, person: Person, weak: str) -> None:
    tokens = await log_in(stack, person)
    password = getattr(person, weak, weak)

    problem = refused(
        await change(stack, tokens, password=password, confirm_password=password), 400, "password_too_weak"
    )

    assert problem["detail"].startswith("Password must be ")
    await log_in(stack, person)


async def test_a_wrong_current_password_is_refused_however_fresh_the_login(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    answer = await change(stack, tokens, current_password="wrong horse battery")

    refused(answer, 403, "current_password_wrong")
    await log_in(stack, person)


async def test_an_old_login_needs_the_current_password(stack: Stack, person: Person) -> None:
    tokens = await of_an_old_login(stack, person)

    refused(await change(stack, tokens), 403, "current_password_wrong")
    refused(await change(stack, tokens, current_password=None), 403, "current_password_wrong")
    refused(await change(stack, tokens, current_password="wrong horse battery"), 403, "current_password_wrong")

    assert (await change(stack, tokens, current_password=person.password)).status_code == 200
    await log_in(stack, replace(person, password=NEW))


async def test_a_refresh_is_no_login(stack: Stack, person: Person) -> None:
    tokens = await of_an_old_login(stack, person)
    refreshed = pair(await refresh(stack, tokens.refresh))

    refused(await change(stack, refreshed), 403, "current_password_wrong")


@pytest.mark.parametrize("field", ["password", "confirm_password"])
@pytest.mark.parametrize("value", [None, 5, "a" * 129], ids=["null", "a number", "too long"])
async def test_a_field_that_is_no_password_is_named(stack: Stack, person: Person, field: str, value: Any) -> None:
    tokens = await log_in(stack, person)

    invalid(await change(stack, tokens, **{field: value}), field)


async def test_nobody_changes_a_password_without_an_access_token(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    missing = await stack.http.post(PATH, json={"password": NEW, "confirm_password": NEW})
    refused(missing, *TOKEN_MISSING)
    refused(await change(stack, Tokens(access=tokens.refresh, refresh="")), *TOKEN_NOT_VALID)

    await log_in(stack, person)
