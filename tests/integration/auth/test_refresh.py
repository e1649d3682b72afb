"""A refresh token has one successor; what a repeat gets and what it leads to: tests/security, S24."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from services.auth.tokens.keys import generate
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.pem_files import write_key
from tests.servers.databases import Databases

GRACE = 10
REFRESH_LIFETIME = 30 * 86400


@pytest.fixture
async def first(clock: DatabaseClock, accounts: Accounts, steps: Steps) -> Pair:
    """The pair that a login gave, while the database's clock stands still."""
    return await steps.log_in(await accounts.new())


def kid(tokens: Pair) -> str:
    return str(jwt.get_unverified_header(tokens.access)["kid"])


async def assert_refused(auth: AuthApp, refresh: str) -> None:
    answer = await auth.refresh(refresh)
    assert (answer.status_code, answer.json()["detail"]) == (401, "Token not valid")
    assert answer.json()["error"] == "invalid_grant"


async def test_a_refresh_gives_a_new_pair_of_the_same_session(first: Pair, auth_app: AuthApp) -> None:
    second = pair(await auth_app.refresh(first.refresh))

    assert second.refresh != first.refresh
    claims = [jwt.decode(each.access, options={"verify_signature": False}) for each in (first, second)]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert all(
        claims[0][name] == claims[1][name] for name in ("sid", "sub", "auth_time", "amr", "acr", "email_verified")
    )
    assert [await auth_app.verify_token(each.access) for each in (first, second)] == [200, 200]
    pair(await auth_app.refresh(second.refresh))


@pytest.mark.parametrize("make", [ed25519.Ed25519PrivateKey.generate, lambda: rsa.generate_private_key(65537, 2048)])
async def test_a_repeat_gives_the_same_pair_whatever_the_key_signs_with(
    clock: DatabaseClock,
    databases: Databases,
    keys: Keys,
    bus: MemoryBus,
    accounts: Accounts,
    tmp_path: Path,
    make: Callable[[], Any],
) -> None:
    """With ES256, the default: tests/security, S24."""
    write_key(tmp_path / "own.pem", make())
    async with running_auth(auth_settings(databases, replace(keys, folder=tmp_path)), bus) as auth:
        first = pair(await auth.log_in((await accounts.new()).username))
        second = pair(await auth.refresh(first.refresh))
        await clock.forward(GRACE - 1)

        assert pair(await auth.refresh(first.refresh)) == second


async def test_a_repeat_gives_the_same_pair_though_a_new_key_signs_by_now(
    clock: DatabaseClock, databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, tmp_path: Path
) -> None:
    generate(tmp_path, signs_from=await clock.now())
    async with running_auth(auth_settings(databases, replace(keys, folder=tmp_path)), bus) as auth:
        first = pair(await auth.log_in((await accounts.new()).username))
        second = pair(await auth.refresh(first.refresh))
        await clock.forward(GRACE - 1)
        generate(tmp_path, signs_from=await clock.now())
        auth.parts.tokens.keys._load()

        assert pair(await auth.refresh(first.refresh)) == second
        third = pair(await auth.refresh(second.refresh))

    assert kid(first) == kid(second) != kid(third)


async def test_the_proof_of_the_address_is_that_of_the_refresh_and_in_a_repeat_that_of_the_first_answer(
    clock: DatabaseClock, accounts: Accounts, steps: Steps, auth_app: AuthApp
) -> None:
    account = await accounts.new(email_verified=False)
    first = await steps.log_in(account)
    second = pair(await auth_app.refresh(first.refresh))
    await accounts.change(account, email_verified=True)

    third = pair(await auth_app.refresh(second.refresh))

    assert pair(await auth_app.refresh(first.refresh)) == second
    claims = [jwt.decode(each.access, options={"verify_signature": False}) for each in (first, second, third)]
    assert [each["email_verified"] for each in claims] == [False, False, True]


async def test_a_refresh_token_lives_for_30_days_from_its_own_issue(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    # The token's own `exp` runs by the process's clock, which stays: the database alone refuses here.
    await clock.forward(REFRESH_LIFETIME - 1)
    second = pair(await auth_app.refresh(first.refresh))
    await clock.forward(REFRESH_LIFETIME)

    await assert_refused(auth_app, second.refresh)

    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL") == 0  # late is not theft


async def test_only_a_refresh_token_refreshes(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    for token in (tokens.access, login.temporary, "x", tokens.refresh + "=", tokens.refresh[:-1]):
        await assert_refused(auth_app, token)
    pair(await auth_app.refresh(tokens.refresh))
