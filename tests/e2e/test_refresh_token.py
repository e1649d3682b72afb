"""POST /auth/refresh-token: rotation at every use; a token used twice ends its session."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest

from tests.stacks.problems import REFRESH_TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack, Tokens
from tests.stacks.steps import bearer, log_in, pair, refresh, register, temporary_token, verify_token
from tests.stacks.time_passes import seconds_pass

GRACE = 10
LIFETIME = 30 * 86400


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def rotated(stack: Stack, refresh_token: str) -> Tokens:
    answer = await refresh(stack, refresh_token)
    assert answer.status_code == 200, answer.text
    return pair(answer)


def claims(token: str) -> dict[str, object]:
    """Unverified."""
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return decoded


def not_valid(answer: httpx.Response) -> None:
    problem = refused(answer, *REFRESH_TOKEN_NOT_VALID)
    assert (problem["error"], problem["error_description"]) == ("invalid_grant", "Token not valid")


async def assert_ended(stack: Stack, *family: Tokens) -> None:
    for tokens in family:
        assert await verify_token(stack, tokens.access) == 401
        not_valid(await refresh(stack, tokens.refresh))


async def test_a_refresh_gives_a_new_pair_of_the_same_session(stack: Stack, person: Person) -> None:
    first = await log_in(stack, person)

    answer = await refresh(stack, first.refresh)

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in", "otp_required"}
    assert answer.headers["cache-control"] == "no-store"
    second = pair(answer)
    assert {first.access, first.refresh}.isdisjoint({second.access, second.refresh})
    assert [claims(second.access)[name] for name in ("sid", "auth_time", "sub")] == [
        claims(first.access)[name] for name in ("sid", "auth_time", "sub")
    ]
    assert await verify_token(stack, second.access) == 200
    await rotated(stack, second.refresh)


async def test_reuse_ends_the_family_and_its_access_tokens(stack: Stack, person: Person) -> None:
    other_session = await log_in(stack, person)
    first = await log_in(stack, person)
    second = await rotated(stack, first.refresh)
    third = await rotated(stack, second.refresh)
    await seconds_pass(stack, person, GRACE)

    not_valid(await refresh(stack, second.refresh))

    await assert_ended(stack, first, second, third)
    assert await verify_token(stack, other_session.access) == 200
    await rotated(stack, other_session.refresh)


async def test_several_tabs_and_a_client_that_lost_the_answer_get_the_same_pair(stack: Stack, person: Person) -> None:
    first = await log_in(stack, person)

    answers = await asyncio.gather(*(refresh(stack, first.refresh) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    (second,) = {pair(answer) for answer in answers}
    assert await verify_token(stack, second.access) == 200
    third = await rotated(stack, second.refresh)
    assert await rotated(stack, first.refresh) == second
    assert await rotated(stack, second.refresh) == third


async def test_beyond_ten_seconds_there_is_no_grace(stack: Stack, person: Person) -> None:
    first = await log_in(stack, person)
    second = await rotated(stack, first.refresh)
    await seconds_pass(stack, person, GRACE)

    not_valid(await refresh(stack, first.refresh))

    await assert_ended(stack, second)


async def test_an_expired_refresh_token_is_refused(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    await seconds_pass(stack, person, LIFETIME)

    not_valid(await refresh(stack, tokens.refresh))


async def test_only_a_refresh_token_is_taken(stack: Stack, person: Person) -> None:
    access = (await log_in(stack, person)).access
    temporary = await temporary_token(stack, await register(stack, is_2fa=True))

    for token in (access, temporary, "no.token.atall", "x"):
        not_valid(await refresh(stack, token))


async def test_a_refresh_token_with_padding_is_none(stack: Stack, person: Person) -> None:
    """PyJWT takes `token=` for `token`: revoked by its text, the token would live on."""
    tokens = await log_in(stack, person)

    for spelling in (f"{tokens.refresh}=", f" {tokens.refresh}", f"{tokens.refresh}\n"):
        not_valid(await refresh(stack, spelling))

    await rotated(stack, tokens.refresh)


async def test_a_body_without_a_refresh_token_is_refused(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    path = "/api/v1/auth/refresh-token"
    invalid(await stack.http.post(path, json={}), "refresh_token")
    invalid(await stack.http.post(path, json={"refresh_token": 5}), "refresh_token")
    in_header = await stack.http.post(path, headers=bearer(tokens.refresh))
    refused(in_header, 422, "invalid_request")
