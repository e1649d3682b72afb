"""S50: nobody whose address is not proved passes forward-auth under EMAIL_VERIFICATION=required."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts
from tests.security.doors import GATES
from tests.servers.databases import Databases

__all__ = ("accounts",)

CLAIMED = {"X-Auth-Verified": "true", "X-Auth-Admin": "true"}


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys, email_verification="required"), bus) as app:
        yield app


async def ask(auth: AuthApp, tokens: Pair, path: str) -> httpx.Response:
    return await auth.http.get(AUTH + path, headers=CLAIMED | bearer(tokens.access))


async def assert_shut(auth: AuthApp, tokens: Pair) -> None:
    for path in GATES:
        problem(await ask(auth, tokens, path), 403, "email_not_verified")


async def test_no_gate_is_open_not_for_an_administrator_either(auth_app: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new(is_admin=True, email_verified=False)
    await accounts.in_step()
    tokens = pair(await auth_app.log_in(account.username))
    await assert_shut(auth_app, tokens)
    await assert_shut(auth_app, pair(await auth_app.refresh(tokens.refresh)))

    await accounts.change(account, email_verified=True)
    await accounts.in_step()

    assert {(await ask(auth_app, tokens, path)).status_code for path in GATES} == {200, 204}


async def test_a_right_code_opens_none_before_users_has_said_that_the_address_is_proved(
    auth_app: AuthApp, accounts: Accounts, inbox: Inbox
) -> None:
    """By then the account may have another address."""
    account = await accounts.new(is_2fa=True, email_verified=False)
    login = await Steps(auth_app, inbox).begin(account)
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))
    await assert_shut(auth_app, tokens)

    await accounts.change(account, email_verified=True)

    assert (await ask(auth_app, tokens, "/forward")).status_code == 204


async def test_a_token_that_says_that_the_address_is_proved_opens_none_once_it_no_longer_is(
    auth_app: AuthApp, accounts: Accounts
) -> None:
    account = await accounts.new()
    tokens = pair(await auth_app.log_in(account.username))
    assert jwt.decode(tokens.access, options={"verify_signature": False})["email_verified"] is True
    assert (await ask(auth_app, tokens, "/forward")).status_code == 204

    await accounts.change(account, email="changed@example.org", email_verified=False)

    await assert_shut(auth_app, tokens)
