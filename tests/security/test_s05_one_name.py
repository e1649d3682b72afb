"""S5: the same name is one name: the canonical form is settled, unique in the database, and races end with one."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.memory import MemoryBus
from shared.names import canonical
from tests.builders import full_width, registered, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.security.somebody import register
from tests.servers.databases import Databases, connected


@given(st.text(st.characters()))
def test_the_canonical_form_is_settled(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize("column", ["email_key", "username_key"])
async def test_the_database_itself_holds_each_canonical_name_once(
    users_app: UsersApp, databases: Databases, column: str
) -> None:
    first, second = await register(users_app), await register(users_app)

    async with connected(databases.users_url) as users:
        stored = await users.fetchval(f"SELECT {column} FROM accounts WHERE id = $1", first["id"])
        assert stored == canonical(stored)
        with pytest.raises(asyncpg.UniqueViolationError):
            await users.execute(f"UPDATE accounts SET {column} = $1 WHERE id = $2", stored, second["id"])


@pytest.mark.parametrize("field", ["username", "email"])
async def test_of_registrations_of_one_name_at_once_on_two_replicas_one_succeeds(
    users_app: UsersApp, databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, field: str
) -> None:
    name = registration()[field]
    spellings = [name, name.upper(), f" {name} ", full_width(name) if field == "username" else name.title()]
    async with running_users(users_settings(databases, keys, jwks_url), keys, bus) as replica:
        answers = await asyncio.gather(
            *(
                app.http.post(f"{USERS}/registration", json=registration(**{field: spelling}))
                for app in (users_app, replica)
                for spelling in spellings
            )
        )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 7}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"user_already_exists"}


@pytest.mark.parametrize("field", ["username", "email"])
async def test_a_change_to_a_taken_name_is_refused_too(users_app: UsersApp, field: str) -> None:
    """By an administrator: an account's own address is changed by a code, which one that is taken does not get."""
    taken, other = await register(users_app), await register(users_app)
    headers = users_app.as_((await registered(users_app.parts, is_admin=True)).id)

    answer = await users_app.http.patch(f"{USERS}/{other['id']}", headers=headers, json={field: taken[field].upper()})

    assert (answer.status_code, answer.json()["code"]) == (400, "user_already_exists")
