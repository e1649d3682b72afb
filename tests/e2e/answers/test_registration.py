"""POST /users/registration."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.stacks.problems import invalid, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import admin, log_in, register, registration, somebody, verify_token

PATH = "/api/v1/users/registration"
FIELDS = ["email", "username", "name", "lastname", "password"]


async def submit(stack: Stack, **changes: Any) -> httpx.Response:
    """Register somebody new, with `changes`; a field changed to `...` is left out."""
    fields = registration(somebody(), **changes)
    return await stack.http.post(PATH, json={name: value for name, value in fields.items() if value is not ...})


def exists(answer: httpx.Response) -> None:
    refused(answer, 400, "user_already_exists", "User already exists")


async def test_the_account_is_answered_with_its_location(stack: Stack) -> None:
    person = somebody(is_2fa=True)

    answer = await stack.http.post(PATH, json=registration(person))

    assert answer.status_code == 201
    account = answer.json()
    created, modified = account.pop("created_at"), account.pop("modified_at")
    assert created == modified
    assert datetime.fromisoformat(created).tzinfo is not None
    identifier = account.pop("id")
    assert uuid.UUID(identifier).version == 7
    assert account == {
        "email": person.email,
        "username": person.username,
        "name": "Dave",
        "lastname": "Gahan",
        "full_name": "Dave Gahan",
        "is_2fa": True,
        "is_admin": False,
        "is_active": True,
        "email_verified_at": None,
        "pending_email": None,
        "groups": [],
        "second_factors": ["email"],
    }
    found = await stack.http.get(answer.headers["location"], headers=await admin(stack))
    assert found.json()["id"] == identifier


async def test_two_factor_is_off_unless_asked_for(stack: Stack) -> None:
    assert (await submit(stack, is_2fa=...)).json()["is_2fa"] is False


@pytest.mark.parametrize("taken", ["email", "username"])
async def test_a_taken_name_is_refused_in_any_spelling(stack: Stack, taken: str) -> None:
    person = await register(stack)
    value = person.email if taken == "email" else person.username
    local, at, domain = value.partition("@")
    full_width = "".join(chr(ord(letter) + 0xFEE0) for letter in local) + at + domain

    for spelling in (value, value.upper(), f"  {value} ", full_width):
        exists(await submit(stack, **{taken: spelling}))


async def test_a_ligature_is_the_letters_that_it_stands_for(stack: Stack) -> None:
    name = uuid.uuid4().hex
    assert (await submit(stack, username=f"of\ufb01ce-{name}")).status_code == 201  # U+FB01, one letter

    exists(await submit(stack, username=f"OFFICE-{name}"))


async def test_the_sharp_s_is_a_double_s(stack: Stack) -> None:
    name = uuid.uuid4().hex
    assert (await submit(stack, username=f"stra\u00dfe-{name}")).status_code == 201

    exists(await submit(stack, username=f"STRASSE-{name}"))


async def test_of_ten_registrations_of_one_name_at_once_one_succeeds(stack: Stack) -> None:
    name = f"user-{uuid.uuid4().hex}"

    answers = await asyncio.gather(*(submit(stack, username=name) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9
    for answer in answers:
        if answer.status_code == 400:
            exists(answer)


@pytest.mark.parametrize(
    "email",
    [
        "nobody",
        "nobody@",
        "@example.org",
        "a@b@example.org",
        "a b@example.org",
        "a@example.org, b@example.org",
        "a@example.org,b@example.org",
        "A <a@example.org>",
        "friends: a@example.org, b@example.org;",
        '"a b"@example.org',
        "a..b@example.org",
        "a@-example.org",
        "a@exam_ple.org",
        f"{'a' * 65}@example.org",
        "",
    ],
)
async def test_what_is_no_single_address_is_refused(stack: Stack, email: str) -> None:
    refused(await submit(stack, email=email), 400, "email_not_valid", "Email not valid")


async def test_a_short_password_is_refused(stack: Stack) -> None:
    problem = refused(await submit(stack, password="horse77"), 400, "password_too_weak")

    assert problem["detail"] == "Password must be at least 8 characters long"
    assert (await submit(stack, password="horse777")).status_code == 201


@pytest.mark.parametrize("own", ["email", "username", "name", "lastname"])
async def test_ones_own_name_is_no_password(stack: Stack, own: str) -> None:
    name = f"gahan{uuid.uuid4().hex}"
    value = f"{name}@example.org" if own == "email" else name

    answer = await submit(stack, **{own: value, "password": value.upper()})

    problem = refused(answer, 400, "password_too_weak")
    assert problem["detail"].startswith("Password must be something else than your own name")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [..., None, 5, ["a"], {"a": "b"}, True], ids=repr)
async def test_a_field_that_is_missing_or_no_text_is_named(stack: Stack, field: str, value: Any) -> None:
    invalid(await submit(stack, **{field: value}), field)


@pytest.mark.parametrize("value", ["true", 1, None], ids=repr)
async def test_is_2fa_is_a_truth_value_and_nothing_like_one(stack: Stack, value: Any) -> None:
    invalid(await submit(stack, is_2fa=value), "is_2fa")


@pytest.mark.parametrize(
    ("field", "length"), [("email", 255), ("username", 255), ("name", 101), ("lastname", 101), ("password", 129)]
)
async def test_what_is_too_long_is_refused(stack: Stack, field: str, length: int) -> None:
    problem = invalid(await submit(stack, **{field: "a" * length}), field)

    assert "aaa" not in str(problem)


@pytest.mark.parametrize("field", ["username", "name", "lastname"])
@pytest.mark.parametrize("value", ["", "   "], ids=["empty", "blank"])
async def test_a_name_without_letters_is_refused(stack: Stack, field: str, value: str) -> None:
    invalid(await submit(stack, **{field: value}), field)


async def test_fields_that_nobody_asked_for_have_no_effect(stack: Stack) -> None:
    wanted = {
        "id": str(uuid.uuid4()),
        "is_admin": True,
        "is_active": False,
        "version": 99,
        "session_epoch": 5,
        "password_hash": "x",
    }

    account = (await submit(stack, **wanted)).json()

    assert account["id"] != wanted["id"]
    assert (account["is_admin"], account["is_active"]) == (False, True)


async def test_a_refusal_changes_nothing(stack: Stack) -> None:
    person = somebody()
    answer = await stack.http.post(PATH, json=registration(person, password="short"))
    assert answer.status_code == 400

    await register(stack, person)


async def test_a_password_is_never_answered(stack: Stack) -> None:
    secret = "battery staple 42"

    for answer in (
        await submit(stack, password=secret),
        await submit(stack, password=secret, email="nobody"),
        await submit(stack, password=secret, name=5),
        await submit(stack, password=[secret]),
        await submit(stack, password=secret * 10),
    ):
        assert secret not in answer.text
        assert "argon2" not in answer.text


async def test_an_address_to_which_few_servers_deliver_is_refused(stack: Stack) -> None:
    """Registered and then never reachable, a person with 2FA would be locked out."""
    answer = await submit(stack, email=f"jos\u00e9-{uuid.uuid4().hex}@example.org")

    refused(answer, 400, "email_not_valid", "Email not valid")


async def test_an_international_domain_gets_its_code(stack: Stack) -> None:
    person = somebody(is_2fa=True)
    email = person.email.replace("example", "m\u00fcller")

    answer = await stack.http.post(PATH, json=registration(person, email=email))

    assert answer.json()["email"] == person.email.replace("example", "xn--mller-kva")
    tokens = await log_in(stack, replace(person, email=answer.json()["email"]))
    assert await verify_token(stack, tokens.access) == 200
    exists(await submit(stack, email=email.upper()))
