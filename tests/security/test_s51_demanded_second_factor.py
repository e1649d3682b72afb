"""S51: where a second factor is demanded, a session that began without one passes no gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts
from tests.security.doors import GATES
from tests.servers.databases import Databases

__all__ = ("accounts",)

Demanding = Callable[[str], AbstractAsyncContextManager[AuthApp]]


@pytest.fixture
def demanding(databases: Databases, keys: Keys, bus: MemoryBus) -> Demanding:
    """Auth with this REQUIRE_2FA."""

    def started(of: str) -> AbstractAsyncContextManager[AuthApp]:
        return running_auth(auth_settings(databases, keys, require_2fa=of), bus)

    return started


@pytest.fixture
async def auth_app(demanding: Demanding) -> AsyncIterator[AuthApp]:
    """Demands it of everybody."""
    async with demanding("all") as app:
        yield app


async def ask(auth: AuthApp, tokens: Pair, path: str) -> httpx.Response:
    return await auth.http.get(AUTH + path, headers=bearer(tokens.access))


async def assert_shut(auth: AuthApp, tokens: Pair) -> None:
    for path in GATES:
        problem(await ask(auth, tokens, path), 403, "second_factor_required")


async def log_in_with_code(auth: AuthApp, inbox: Inbox, account: AccountChanged) -> Pair:
    login = await Steps(auth, inbox).begin(account)
    return pair(await auth.verify_otp(login.temporary, login.code))


async def test_a_password_alone_opens_no_gate_and_a_code_with_it_opens_all_that_the_account_may_pass(
    auth_app: AuthApp, accounts: Accounts, inbox: Inbox
) -> None:
    account = await accounts.new(is_admin=True)
    tokens = pair(await auth_app.log_in(account.username))
    await assert_shut(auth_app, tokens)
    await assert_shut(auth_app, pair(await auth_app.refresh(tokens.refresh)))

    tokens = await log_in_with_code(auth_app, inbox, await accounts.change(account, is_2fa=True))
    await accounts.in_step()

    assert {(await ask(auth_app, tokens, path)).status_code for path in GATES} == {200, 204}


async def test_it_is_the_session_s_own_second_factor_that_counts_not_the_account_s(
    auth_app: AuthApp, accounts: Accounts, inbox: Inbox
) -> None:
    account = await accounts.new()
    without = pair(await auth_app.log_in(account.username))
    account = await accounts.change(account, is_2fa=True)  # the session is kept, as the one that made the change

    await log_in_with_code(auth_app, inbox, account)

    await assert_shut(auth_app, without)
    await assert_shut(auth_app, pair(await auth_app.refresh(without.refresh)))


async def test_of_administrators_it_is_demanded_though_users_has_long_said_nothing_of_them(
    demanding: Demanding, accounts: Accounts, inbox: Inbox
) -> None:
    """Then auth says of nobody that he is an administrator, and they pass as anybody does: but not more easily."""
    async with demanding("admins") as auth:
        person, admin = await accounts.new(), await accounts.new(is_admin=True)
        assert (await ask(auth, pair(await auth.log_in(person.username)), "/forward")).status_code == 204
        await assert_shut(auth, pair(await auth.log_in(admin.username)))

        tokens = await log_in_with_code(auth, inbox, await accounts.change(admin, is_2fa=True))
        answer = await ask(auth, tokens, "/forward")
        assert (answer.status_code, answer.headers["x-auth-admin"]) == (204, "false")


async def test_who_becomes_an_administrator_needs_it_from_the_next_question_on(
    demanding: Demanding, accounts: Accounts
) -> None:
    async with demanding("admins") as auth:
        account = await accounts.new()
        tokens = pair(await auth.log_in(account.username))
        assert (await ask(auth, tokens, "/forward")).status_code == 204

        await accounts.change(account, is_admin=True)

        await assert_shut(auth, tokens)
