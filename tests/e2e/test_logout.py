"""POST /auth/logout."""

from __future__ import annotations

import pytest

from tests.polling import eventually
from tests.stacks.problems import REFRESH_TOKEN_NOT_VALID, TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import bearer, log_in, refresh, register, verify_token

PATH = "/api/v1/auth/logout"


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def test_this_session_ends_and_others_go_on(stack: Stack, person: Person) -> None:
    leaving, staying = await log_in(stack, person), await log_in(stack, person)

    answer = await stack.http.post(PATH, headers=bearer(leaving.access))

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert await verify_token(stack, leaving.access) == 401
    refused(await refresh(stack, leaving.refresh), *REFRESH_TOKEN_NOT_VALID)
    assert await verify_token(stack, staying.access) == 200
    assert (await refresh(stack, staying.refresh)).status_code == 200


async def test_with_all_every_session_of_the_account_ends_and_nobody_elses(stack: Stack, person: Person) -> None:
    here, there = await log_in(stack, person), await log_in(stack, person)
    stranger = await log_in(stack, await register(stack))

    answer = await stack.http.post(PATH, params={"all": "true"}, headers=bearer(here.access))

    assert answer.status_code == 204
    for tokens in (here, there):
        assert await verify_token(stack, tokens.access) == 401
        refused(await refresh(stack, tokens.refresh), *REFRESH_TOKEN_NOT_VALID)
    assert await verify_token(stack, stranger.access) == 200


async def test_the_users_service_hears_of_it(stack: Stack, person: Person) -> None:
    leaving, staying = await log_in(stack, person), await log_in(stack, person)

    async def known(access: str) -> bool:
        return (await stack.http.get("/api/v1/users/me", headers=bearer(access))).status_code == 200

    async def heard() -> bool:
        return not await known(leaving.access)

    assert await known(leaving.access)

    await stack.http.post(PATH, headers=bearer(leaving.access))

    await eventually(heard)
    assert await known(staying.access)


async def test_a_second_logout_is_refused(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    assert (await stack.http.post(PATH, headers=bearer(tokens.access))).status_code == 204

    refused(await stack.http.post(PATH, headers=bearer(tokens.access)), *TOKEN_NOT_VALID)


async def test_a_refresh_token_does_not_log_out(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    refused(await stack.http.post(PATH, headers=bearer(tokens.refresh)), *TOKEN_NOT_VALID)

    assert await verify_token(stack, tokens.access) == 200


async def test_all_must_be_a_truth_value(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    invalid(await stack.http.post(PATH, params={"all": "perhaps"}, headers=bearer(tokens.access)), "all")

    assert await verify_token(stack, tokens.access) == 200


async def test_after_a_logout_one_can_log_in_again(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    await stack.http.post(PATH, params={"all": "true"}, headers=bearer(tokens.access))

    assert await verify_token(stack, (await log_in(stack, person)).access) == 200
