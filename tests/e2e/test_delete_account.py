"""DELETE /users/: oneself, or by an admin anybody."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import INCORRECT, ITEM_NOT_FOUND, TOKEN_MISSING, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import admin, bearer, log_in, refresh, register, submit_password, verify_token

PATH = "/api/v1/users/"


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def delete(
    stack: Stack, headers: dict[str, str], *, of: str | None = None, if_match: str | None = None
) -> httpx.Response:
    query = {"user_id": of} if of else {}
    headers = headers | ({"If-Match": if_match} if if_match else {})
    return await stack.http.delete(PATH, params=query, headers=headers)


async def exists(stack: Stack, person: Person) -> bool:
    answer = await stack.http.get(PATH, params={"user_id": person.id}, headers=await admin(stack))
    return bool(answer.json())


async def test_one_may_delete_oneself(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    answer = await delete(stack, bearer(tokens.access))

    assert (answer.status_code, answer.json()) == (200, {"message": f"User with id:'{person.id}' deleted successfully"})
    assert not await exists(stack, person)

    async def shut_out() -> bool:
        return await verify_token(stack, tokens.access) == 401

    await eventually(shut_out)
    refused(await submit_password(stack, person), *INCORRECT)
    assert (await refresh(stack, tokens.refresh)).status_code == 401


async def test_an_admin_deletes_somebody_else_and_stays(stack: Stack, person: Person) -> None:
    answer = await delete(stack, await admin(stack), of=person.id)

    assert answer.status_code == 200
    assert not await exists(stack, person)
    assert (await stack.http.get("/api/v1/users/me", headers=await admin(stack))).status_code == 200


async def test_an_admin_who_names_nobody_is_told_so(stack: Stack, person: Person) -> None:
    refused(await delete(stack, await admin(stack), of=str(uuid.uuid4())), *ITEM_NOT_FOUND)

    assert (await delete(stack, await admin(stack), of=person.id)).status_code == 200
    refused(await delete(stack, await admin(stack), of=person.id), *ITEM_NOT_FOUND)


async def test_an_etag_that_is_no_longer_true_deletes_nothing(stack: Stack, person: Person) -> None:
    own = bearer((await log_in(stack, person)).access)
    etag = (await stack.http.get("/api/v1/users/me", headers=own)).headers["etag"]
    await stack.http.patch(PATH, json={"name": "Alan"}, headers=own)

    refused(await delete(stack, own, if_match=etag), 412, "version_differs")

    assert await exists(stack, person)


async def test_a_user_id_that_is_none_deletes_nobody(stack: Stack, person: Person) -> None:
    own = bearer((await log_in(stack, person)).access)

    for user_id in ("1", "me", "null", "undefined"):
        refused(await delete(stack, own, of=user_id), 422, "invalid_request")

    assert await exists(stack, person)


async def test_without_a_token_nobody_is_deleted(stack: Stack, person: Person) -> None:
    refused(await delete(stack, {}, of=person.id), *TOKEN_MISSING)
    refused(await delete(stack, {}), *TOKEN_MISSING)

    assert await exists(stack, person)


async def test_the_name_is_free_again_and_the_newcomer_gets_in_at_once(stack: Stack, person: Person) -> None:
    own = bearer((await log_in(stack, person)).access)
    assert (await delete(stack, own)).status_code == 200

    newcomer = await register(stack, person)

    assert newcomer.id != person.id
    tokens = await log_in(stack, newcomer)
    me = await stack.http.get("/api/v1/users/me", headers=bearer(tokens.access))
    assert me.json()["id"] == newcomer.id
