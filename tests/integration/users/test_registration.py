"""Registration: one account a name, whatever is sent, and never a 500."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import asyncpg
import httpx
import pytest

from tests.builders import full_width, registration
from tests.composed import USERS, UsersApp


async def register(app: UsersApp, body: dict[str, Any]) -> httpx.Response:
    # ASCII JSON: half a surrogate pair has no other spelling.
    headers = {"Content-Type": "application/json"}
    return await app.http.post(f"{USERS}/registration", content=json.dumps(body), headers=headers)


async def accounts_in(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT count(*) FROM accounts"))


async def test_a_registration_answers_the_account_and_where_it_is(users_app: UsersApp) -> None:
    body = registration(name="Dave", lastname="Gahan", is_2fa=True)

    answer = await register(users_app, body)

    account = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{USERS}/{account['id']}"
    assert set(account) == {
        *("id", "email", "username", "name", "lastname", "full_name"),
        *("is_2fa", "is_admin", "is_active", "groups", "created_at", "modified_at"),
        *("email_verified_at", "pending_email", "second_factors"),
    }
    given = {name: value for name, value in body.items() if name != "password"}
    expected = given | {"full_name": "Dave Gahan", "is_admin": False, "is_active": True, "groups": []}
    expected |= {"email_verified_at": None, "pending_email": None}
    assert {name: account[name] for name in expected} == expected


@pytest.mark.parametrize("field", ["username", "email"])
async def test_of_ten_registrations_of_one_name_at_once_exactly_one_succeeds(
    users_app: UsersApp, sql: asyncpg.Connection, field: str
) -> None:
    value = registration()[field]
    bodies = [registration(**{field: value}) for _ in range(10)]

    answers = await asyncio.gather(*(register(users_app, body) for body in bodies))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 9}
    assert {answer.json()["detail"] for answer in answers if answer.status_code == 400} == {"User already exists"}
    assert await accounts_in(sql) == 1
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE type = 'users.account_changed.v1'") == 1


@pytest.mark.parametrize(
    ("field", "taken", "same"),
    [
        ("username", "dave", "DAVE"),
        ("username", "dave", full_width("dave")),
        ("username", "dave", "  dave "),
        ("username", "straße", "STRASSE"),
        ("username", "\ufb01sh", "FISH"),
        ("email", "dave@example.org", "Dave@Example.ORG"),
    ],
)
async def test_what_looks_like_a_taken_name_is_taken(
    users_app: UsersApp, sql: asyncpg.Connection, field: str, taken: str, same: str
) -> None:
    assert (await register(users_app, registration(**{field: taken}))).status_code == 201

    answer = await register(users_app, registration(**{field: same}))

    assert (answer.status_code, answer.json()["code"]) == (400, "user_already_exists")
    assert await accounts_in(sql) == 1


async def test_fields_that_are_not_the_registrants_to_choose_have_no_effect(users_app: UsersApp) -> None:
    chosen = {"id": "00000000-0000-0000-0000-000000000000", "is_admin": True, "is_active": False, "version": 9}
    chosen |= {"session_epoch": 9, "created_at": "2001-01-01T00:00:00Z", "password_hash": "x"}

    account = (await register(users_app, registration() | chosen)).json()

    assert (account["is_admin"], account["is_active"]) == (False, True)
    assert account["id"] != chosen["id"]
    assert not account["created_at"].startswith("2001")


@pytest.mark.parametrize(
    "password", ["short12", "person@example.org", "PERSON@EXAMPLE.ORG", "dave_the_great", "Gahan-the-long"]
)
async def test_a_short_password_or_ones_own_name_is_refused_with_the_reason(
    users_app: UsersApp, sql: asyncpg.Connection, password: str
) -> None:
    names = {"email": "person@example.org", "username": "Dave_the_Great", "lastname": "Gahan-the-Long"}

    answer = await register(users_app, registration(password=password, **names))

    assert (answer.status_code, answer.json()["code"]) == (400, "password_too_weak")
    assert answer.json()["detail"].startswith("Password must be ")
    assert await accounts_in(sql) == 0


async def test_a_password_above_the_cap_is_refused_before_any_hashing(
    users_app: UsersApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_password: str) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(users_app.parts.passwords, "hash", never)

    assert (await register(users_app, registration(password="p" * 129))).status_code == 422


async def test_a_password_counts_whole_beyond_72_bytes(users_app: UsersApp, sql: asyncpg.Connection) -> None:
    assert (await register(users_app, registration(password="p" * 127 + "a"))).status_code == 201

    stored = await sql.fetchval("SELECT password_hash FROM accounts")
    assert await users_app.parts.passwords.verify("p" * 127 + "a", stored)
    assert not await users_app.parts.passwords.verify("p" * 127 + "b", stored)


NOT_ONE_ADDRESS = [
    "a@y.org, evil@z.org",
    "a@y.org,evil@z.org",
    "a@y.org; evil@z.org",
    "a@y.org evil@z.org",
    "group: a@y.org, evil@z.org;",
    "group:;",
    '"a, evil"@y.org',
    '"a b"@y.org',
    '"a@y.org" <evil@z.org>',
    "Ann <a@y.org>",
    "<a@y.org>",
    "a(comment)@y.org",
    "a@y.org\r\nBcc: evil@z.org",
    "a@y.org\nBcc: evil@z.org",
    "a@y\r.org",
    "a\x85@y.org",
    "a@y.org\u2028Bcc: evil@z.org",
    "a\u2029@y.org",
    "a@y.org\0",
    "a\ud800@y.org",
    "a\u202e@y.org",
    "a\u200b@y.org",
    "a@@y.org",
    "a@",
    "@y.org",
    "",
    "a",
    "a@y..org",
    ".a@y.org",
    "a.@y.org",
    "a..b@y.org",
    "a@-y.org",
    "a@[127.0.0.1]",
    "a@[IPv6:::1]",
    "a@" + "y" * 64 + ".org",
    "a" * 65 + "@y.org",
    "a" * 250 + "@y.org",
    "a@xn--\u00fc.org",
    "a@xn--zz--zz--.org",
    "a%z.org@",
    "a@y.org@z.org",
    "\u00fc@y.org",  # needs SMTPUTF8, which not every relay speaks: its codes would be lost
]


async def test_what_is_not_one_deliverable_address_is_refused(users_app: UsersApp, sql: asyncpg.Connection) -> None:
    for address in NOT_ONE_ADDRESS:
        answer = await register(users_app, registration(email=address))

        refusal = (answer.status_code, answer.json().get("code"))
        assert refusal in {(400, "email_not_valid"), (422, "invalid_request")}, ascii(address)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await accounts_in(sql) == 0


INVISIBLE = ["\r\n", "\n", "\x85", "\u2028", "\u2029", "\0", "\ud800", "\u202e", "\u200b", "\x07"]


@pytest.mark.parametrize("field", ["username", "name", "lastname"])
async def test_a_name_with_an_invisible_character_is_refused(users_app: UsersApp, field: str) -> None:
    for character in INVISIBLE:
        answer = await register(users_app, registration(**{field: f"a{character}b"}))

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), ascii(character)
        assert answer.json()["errors"][0]["field"] == field
