"""S4: control characters are refused in every field, and no text whatsoever is a 500."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from tests.builders import PASSWORD, registration
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    running_auth,
    running_users,
    users_settings,
)
from tests.security.doors import ACCESS, TEMPORARY
from tests.security.somebody import LoggedIn, register
from tests.security.vectors import vectors
from tests.servers.databases import Databases

JSON = {"Content-Type": "application/json"}
CONTROL = ["\0", "\t", "\r\n", "\x1b", "\x7f", "\x85", "\ud800", "\udfff", "\u202e", "\u2066", "\u200f"]
AT_A_TIME = 8


FIELDS = (
    "registration email",
    "registration username",
    "registration name",
    "registration lastname",
    "registration password",
    "patch email",
    "patch username",
    "patch name",
    "patch lastname",
    "change-password password",
    "change-password confirm_password",
    "change-password current_password",
    "token username",
    "token password",
    "token device_token",
    "verify-otp otp",
    "verify-totp otp",
    "verify-recovery code",
    "verify-password password",
    "app name",
    "refresh-token refresh_token",
    "registration invitation_code",
    "confirm code",
    "confirm username",
    "creation email",
    "creation username",
    "creation name",
    "creation lastname",
    "creation groups",
    "invitation email",
    "invitation groups",
    "patch groups",
    "verify-email code",
    "reset email",
    "new-password code",
    "new-password password",
    "filter username",
    "filter email",
    "filter group",
)
# The same, but those with the same rule together: one text goes into all of them.
TOGETHER = (
    "registration email",
    "registration username",
    "registration name lastname",
    "registration password",
    "patch username",
    "patch name lastname",
    "change-password password confirm_password current_password",
    "token username password device_token",
    "verify-otp otp",
    "verify-totp otp",
    "verify-recovery code",
    "verify-password password",
    "app name",
    "refresh-token refresh_token",
    "registration invitation_code",
    "confirm code",
    "confirm username",
    "creation email",
    "creation username",
    "creation name lastname",
    "invitation email",
    "patch groups",
    "verify-email code",
    "reset email",
    "new-password code",
    "new-password password",
    "filter username email",
    "filter group",
)
CODE = {"code": "0000000000"}
NOBODY = str(UUID(int=7))


def without_password() -> dict[str, Any]:
    return {name: value for name, value in registration().items() if name != "password"}


class Fields:
    """Every field of the API that takes text: `send` puts a text into one of them, or into several."""

    def __init__(self, auth: AuthApp, users: UsersApp, headers: dict[str, str], person: LoggedIn) -> None:
        self._auth = auth.http
        self._users = users.http
        self._headers = headers
        self._person = person
        self._one_change = asyncio.Lock()  # of one account's password at a time: another one is 429 meanwhile

    async def send(self, fields: str, text: str) -> httpx.Response:
        where, *names = fields.split()
        if where == "filter":
            value = "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
            query = "&".join(f"{name}={value}" for name in names)
            return await self._users.get(f"{USERS}/?{query}", headers=self._headers)
        passwords = dict.fromkeys(("password", "confirm_password"), PASSWORD)
        method, path, body = {
            "registration": ("POST", f"{USERS}/registration", registration()),
            "patch": ("PATCH", f"{USERS}/", {}),
            "change-password": ("POST", f"{USERS}/change-password", passwords),
            "token": ("POST", f"{AUTH}/token", {"username": "nobody", "password": PASSWORD}),
            **{f"verify-{by}": ("POST", f"{AUTH}/verify-{by}", {}) for by in ("otp", "totp", "recovery", "password")},
            "app": ("POST", f"{AUTH}/factors/totp", {}),
            "refresh-token": ("POST", f"{AUTH}/refresh-token", {}),
            "confirm": ("POST", f"{USERS}/registration/confirm", CODE | {"registration_token": NOBODY}),
            "creation": ("POST", f"{USERS}/", without_password()),
            "invitation": ("POST", f"{USERS}/invitations", {"email": registration()["email"]}),
            "verify-email": ("POST", f"{USERS}/verify-email", {}),
            "reset": ("POST", f"{USERS}/password-reset", {}),
            "new-password": (
                "POST",
                f"{USERS}/password-reset/confirm",
                CODE | {"reset_token": NOBODY, "password": PASSWORD},
            ),
        }[where]
        of_auth = bearer(self._person.tokens[ACCESS if where == "app" else TEMPORARY])
        client, headers = (self._users, self._headers) if path.startswith(USERS) else (self._auth, of_auth)
        # ASCII JSON: half a surrogate pair has no other spelling.
        content = json.dumps(body | {name: [text] if name == "groups" else text for name in names})
        async with self._one_change if where == "change-password" else nullcontext():
            return await client.request(method, path, content=content, headers=headers | JSON)


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    # Each text is a guess of the current password too, or asks for a new one.
    limits = {"current_password_guesses": 10_000, "password_resets_per_client": 10_000}
    settings = users_settings(databases, keys, jwks_url, **limits)
    async with running_users(settings, keys, bus) as app:
        yield app


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    # Every text is a wrong name and a wrong password, all from one address.
    async with running_auth(auth_settings(databases, keys, throttle_address_per_hour=10_000), bus) as app:
        yield app


@pytest.fixture
async def fields(auth_app: AuthApp, users_app: UsersApp, person: LoggedIn) -> Fields:
    account = await register(users_app)
    async with users_app.parts.database.transaction() as connection:
        await connection.exec_driver_sql(f"UPDATE accounts SET is_admin = true WHERE id = '{account['id']}'")
    session = UUID(int=1)
    return Fields(auth_app, users_app, users_app.as_(UUID(account["id"]), session=session), person)


@pytest.mark.parametrize("character", CONTROL, ids=ascii)
async def test_a_control_character_is_refused_in_every_field(fields: Fields, character: str) -> None:
    """But of a token, which is no text: what is wrong with it is not told."""
    seen = {each: (await fields.send(each, f"ab{character}cd@example.org")).status_code for each in FIELDS}

    assert seen.pop("refresh-token refresh_token") in {401, 422}
    if 0xD800 <= ord(character[0]) < 0xE000:  # no address can spell it: its bytes are three others that are no UTF-8
        assert {seen.pop(f"filter {name}") for name in ("username", "email")} == {200}
    assert {name: status for name, status in seen.items() if status != 422} == {}


@pytest.mark.parametrize("doors", ["an eighth of the doors", pytest.param("every door", marks=pytest.mark.long)])
async def test_the_big_list_of_naughty_strings_through_every_field_is_no_500(fields: Fields, doors: str) -> None:
    """Each door with an eighth of the texts; or all at all."""
    step = 1 if doors == "every door" else 8
    naughty = vectors("naughty_strings.json")
    statuses: Counter[int] = Counter()
    wrong: list[tuple[str, str, int]] = []

    async def send_all(texts: Iterator[tuple[str, str]]) -> None:
        for field, text in texts:
            status = (await fields.send(field, text)).status_code
            statuses[status] += 1
            if status not in {200, 201, 202, 400, 401, 403, 422}:
                wrong.append((field, text, status))

    every = [(field, text) for number, text in enumerate(naughty) for field in TOGETHER[number % step :: step]]
    todo = iter(every)
    await asyncio.gather(*(send_all(todo) for _ in range(AT_A_TIME)))

    assert wrong == []
    assert len(naughty) == 515
    assert sum(statuses.values()) == len(every)
    assert min(statuses[status] for status in (200, 201, 400, 422)) > 100 // step  # it met each of the doors
