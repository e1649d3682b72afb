"""GET /users/: for admins."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.stacks.problems import NOT_PERMITTED, TOKEN_MISSING, invalid, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import admin, bearer, log_in, register

PATH = "/api/v1/users/"


async def accounts(stack: Stack, **query: Any) -> httpx.Response:
    return await stack.http.get(PATH, params=query, headers=await admin(stack))


async def ids(stack: Stack, **query: Any) -> list[str]:
    answer = await accounts(stack, **query)
    assert answer.status_code == 200, answer.text
    return [account["id"] for account in answer.json()]


@pytest.fixture
async def people(stack: Stack) -> list[Person]:
    return [await register(stack, is_2fa=number % 2 == 1) for number in range(5)]


async def test_without_admin_rights_it_is_refused(stack: Stack) -> None:
    person = await register(stack)
    tokens = await log_in(stack, person)

    for query in ({}, {"user_id": person.id}):
        answer = await stack.http.get(PATH, params=query, headers=bearer(tokens.access))
        refused(answer, *NOT_PERMITTED)
    refused(await stack.http.get(PATH), *TOKEN_MISSING)


async def test_one_account_by_its_id(stack: Stack, people: list[Person]) -> None:
    answer = await accounts(stack, user_id=people[2].id)

    assert answer.status_code == 200
    [account] = answer.json()
    assert (account["id"], account["email"]) == (people[2].id, people[2].email)
    assert "link" not in answer.headers


async def test_the_account_of_nobody_is_an_empty_list(stack: Stack) -> None:
    assert await ids(stack, user_id=uuid.uuid4()) == []


async def test_each_filter_narrows(stack: Stack, people: list[Person]) -> None:
    first, second = people[:2]

    assert await ids(stack, email=first.email.upper()) == [first.id]
    assert await ids(stack, username=second.username.upper()) == [second.id]
    assert await ids(stack, username=second.username, is_2fa="true") == [second.id]
    assert await ids(stack, username=second.username, is_2fa="false") == []
    assert await ids(stack, username=second.username, is_active="false") == []
    assert await ids(stack, username=second.username, is_admin="true") == []
    assert await ids(stack, email=f"{uuid.uuid4().hex}@example.org") == []
    assert stack.admin.email in [account["email"] for account in (await accounts(stack, is_admin="true")).json()]


async def test_pages_hang_together_by_the_link_header(stack: Stack, people: list[Person]) -> None:
    seen: list[str] = []
    pages = 0
    following: str | None = f"{PATH}?limit=2&is_2fa=false"
    while following:
        answer = await stack.http.get(following, headers=await admin(stack))
        assert answer.status_code == 200
        page = [account["id"] for account in answer.json()]
        assert 1 <= len(page) <= 2
        seen += page
        pages += 1
        following = answer.links.get("next", {}).get("url")

    assert pages > 1
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)  # in order of registration: ids are UUIDv7
    mine = [person.id for person in people if not person.is_2fa]
    assert [each for each in seen if each in mine] == mine
    assert not {person.id for person in people if person.is_2fa} & set(seen)


async def test_an_account_registered_meanwhile_moves_nobody(stack: Stack, people: list[Person]) -> None:
    first = await accounts(stack, limit=1)
    newcomer = await register(stack)

    second = await stack.http.get(first.links["next"]["url"], headers=await admin(stack))

    assert second.json()[0]["id"] > first.json()[0]["id"]
    assert newcomer.id > people[-1].id


@pytest.mark.parametrize("cursor", ["x", "!!!!", "AAAA", "\u00e9"])
async def test_a_cursor_that_is_none_of_ours_is_refused(stack: Stack, cursor: str) -> None:
    refused(await accounts(stack, cursor=cursor), 400, "cursor_not_valid")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "many"),
        ("limit", "-1"),
        ("user_id", "1"),
        ("user_id", "' OR 1=1 --"),
        ("is_admin", "perhaps"),
        ("email", "a" * 255),
        ("email", "a\0b"),
        ("username", "a\0b"),
        ("cursor", "A" * 65),
    ],
)
async def test_a_parameter_out_of_bounds_is_named(stack: Stack, field: str, value: str) -> None:
    invalid(await accounts(stack, **{field: value}), field)


async def test_nobody_gets_a_password_hash(stack: Stack) -> None:
    answer = await accounts(stack, limit=200)

    assert "argon2" not in answer.text
    assert not any("password" in name for account in answer.json() for name in account)
