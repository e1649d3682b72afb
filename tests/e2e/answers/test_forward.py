"""GET /auth/forward: a gateway asks whether a request may pass, and whose it is."""

from __future__ import annotations

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import NOT_PERMITTED, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import admin, bearer, log_in, register, temporary_token

PATH = "/api/v1/auth/forward"
TOLD = [
    "x-auth-acr", "x-auth-admin", "x-auth-amr", "x-auth-groups", "x-auth-session", "x-auth-subject", "x-auth-time",
    "x-auth-verified",
]  # fmt: skip


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


def told(answer: httpx.Response) -> list[str]:
    return sorted(name for name in answer.headers if name.startswith("x-auth-"))


async def test_a_good_token_passes_and_whose_it_is_is_told(stack: Stack, person: Person) -> None:
    tokens, others = await log_in(stack, person), await log_in(stack, person)

    answer = await stack.http.get(PATH, headers=bearer(tokens.access))

    assert (answer.status_code, answer.content) == (204, b"")
    assert told(answer) == TOLD
    assert (answer.headers["x-auth-subject"], answer.headers["x-auth-admin"]) == (person.id, "false")
    assert answer.headers["cache-control"] == "no-store"
    another = await stack.http.get(PATH, headers=bearer(others.access))
    assert another.headers["x-auth-session"] != answer.headers["x-auth-session"]


async def test_after_a_login_with_a_code_it_passes_too(stack: Stack) -> None:
    person = await register(stack, is_2fa=True)

    answer = await stack.http.get(PATH, headers=bearer((await log_in(stack, person)).access))

    assert (answer.status_code, answer.headers["x-auth-subject"]) == (204, person.id)


async def test_no_other_kind_of_token_passes(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    temporary = await temporary_token(stack, await register(stack, is_2fa=True))

    for token in (tokens.refresh, temporary, tokens.access + "="):
        answer = await stack.http.get(PATH, headers=bearer(token))
        refused(answer, *TOKEN_NOT_VALID)
        assert told(answer) == []


async def test_a_logout_counts_from_the_next_question_on(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    assert (await stack.http.get(PATH, headers=bearer(tokens.access))).status_code == 204

    await stack.http.post("/api/v1/auth/logout", headers=bearer(tokens.access))

    refused(await stack.http.get(PATH, headers=bearer(tokens.access)), *TOKEN_NOT_VALID)


async def test_the_token_of_a_deleted_account_does_not_pass(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    await stack.http.delete("/api/v1/users/", headers=bearer(tokens.access))

    async def is_refused() -> bool:
        return (await stack.http.get(PATH, headers=bearer(tokens.access))).status_code == 401

    await eventually(is_refused)


async def test_administrators_are_told_from_others(stack: Stack, person: Person) -> None:
    somebody = bearer((await log_in(stack, person)).access)

    async def is_told() -> bool:  # users tells auth a few seconds after its start
        return bool((await stack.http.get(PATH, headers=await admin(stack))).headers["x-auth-admin"] == "true")

    await eventually(is_told)
    assert (await stack.http.get(f"{PATH}/admin", headers=await admin(stack))).status_code == 204
    answer = await stack.http.get(f"{PATH}/admin", headers=somebody)
    refused(answer, *NOT_PERMITTED)
    assert told(answer) == []


async def test_who_becomes_an_administrator_is_one_in_the_sessions_that_there_are(stack: Stack, person: Person) -> None:
    headers = bearer((await log_in(stack, person)).access)
    await stack.http.patch(
        "/api/v1/users/", params={"user_id": person.id}, json={"is_admin": True}, headers=await admin(stack)
    )

    async def is_told() -> bool:
        return bool((await stack.http.get(PATH, headers=headers)).headers.get("x-auth-admin") == "true")

    await eventually(is_told)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_question_with_the_clients_own_method_is_answered_alike(
    stack: Stack, person: Person, method: str
) -> None:
    body = b"" if method in {"HEAD", "OPTIONS"} else b"not for auth"
    headers = bearer((await log_in(stack, person)).access)

    for path, status in ((PATH, 204), (f"{PATH}/envoy/a/b?c=d", 200)):
        answer = await stack.http.request(method, path, headers=headers, content=body)
        assert (answer.status_code, answer.content) == (status, b"")
        assert told(answer) == TOLD
        bad = await stack.http.request(method, path, headers=bearer("x"), content=body)
        assert (bad.status_code, told(bad)) == (401, [])
        assert bad.headers["www-authenticate"].startswith('Bearer realm="login2fa", error="invalid_token"')


async def test_the_next_question_on_the_same_connection_gets_its_own_answer(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    stranger = await register(stack)
    other = await log_in(stack, stranger)

    for _ in range(3):
        head = await stack.http.head(PATH, headers=bearer("x"))
        mine = await stack.http.post(PATH, headers=bearer(tokens.access), content=b"x" * 30_000)
        theirs = await stack.http.get(PATH, headers=bearer(other.access))
        assert [answer.status_code for answer in (head, mine, theirs)] == [401, 204, 204]
        assert [answer.headers["x-auth-subject"] for answer in (mine, theirs)] == [person.id, stranger.id]


async def test_a_place_that_is_not_there_is_a_refusal(stack: Stack, person: Person) -> None:
    """A gateway that is set up wrongly: nginx would make a 500 of a 404."""
    headers = bearer((await log_in(stack, person)).access)

    refused(await stack.http.get(f"{PATH}/nowhere", headers=headers), 403, "not_found")
