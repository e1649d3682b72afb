"""S3: what is stored is Argon2id of at least 19456 KiB, 2 passes, 1 lane; a weaker hash goes when a password is set."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from services.auth.settings import AuthSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import SettingsInvalid, load
from tests.builders import PASSWORD, registered
from tests.composed import USERS, AuthApp, UsersApp
from tests.polling import eventually
from tests.security.somebody import password_accepted, register
from tests.servers.databases import Databases, connected

pytestmark = pytest.mark.usefixtures("strong_hashes")


def assert_strong(stored: str) -> None:
    parameters = extract_parameters(stored)
    assert parameters.type is Type.ID
    assert (parameters.memory_cost >= 19456, parameters.time_cost >= 2, parameters.parallelism >= 1) == (True,) * 3
    assert (parameters.salt_len >= 16, parameters.hash_len >= 32) == (True, True)


async def hashes(databases: Databases) -> list[str]:
    """Of the one account: as users has it, and as auth does."""
    async with connected(databases.users_url) as users, connected(databases.auth_url) as auth:
        return [
            await users.fetchval("SELECT password_hash FROM accounts"),
            await auth.fetchval("SELECT password_hash FROM identities"),
        ]


async def test_both_services_store_the_same_strong_hash(
    users_app: UsersApp, auth_app: AuthApp, databases: Databases
) -> None:
    account = await register(users_app)
    await password_accepted(auth_app, account["username"])

    ours, theirs = await hashes(databases)

    assert_strong(ours)
    assert ours == theirs


async def test_a_weaker_hash_still_lets_in_and_is_gone_when_the_password_is_set_again(
    users_app: UsersApp, auth_app: AuthApp, databases: Databases
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    account = await registered(users_app.parts, password_hash=weak)
    await password_accepted(auth_app, account.username)
    assert await hashes(databases) == [weak, weak]

    # The same password once more: it counts as a change all the same.
    body = {"password": PASSWORD, "confirm_password": PASSWORD, "current_password": PASSWORD}
    headers = users_app.as_(account.id, login_age=9999)
    assert (await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)).status_code == 200

    async def told() -> bool:
        return weak not in await hashes(databases)

    await eventually(told)
    for stored in await hashes(databases):
        assert_strong(stored)
    await password_accepted(auth_app, account.username)


@pytest.mark.parametrize("kind", [AuthSettings, UsersSettings])
@pytest.mark.parametrize(
    ("setting", "weaker"), [("argon2_memory_kib", 19455), ("argon2_passes", 1), ("argon2_lanes", 0)]
)
def test_no_setting_makes_it_weaker(kind: type[AuthSettings | UsersSettings], setting: str, weaker: int) -> None:
    with pytest.raises(SettingsInvalid, match=setting.upper()):
        load(kind, **{setting: weaker})
