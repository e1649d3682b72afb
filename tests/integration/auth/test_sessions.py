"""What ends a session, and what does not: at verify-token and refresh-token, at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import jwt
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.builders import OTHER_PASSWORD
from tests.composed import AUTH, AuthApp, bearer


def session_of(tokens: Pair) -> UUID:
    return UUID(jwt.decode(tokens.access, options={"verify_signature": False})["sid"])


async def lives(auth: AuthApp, tokens: Pair) -> bool:
    """Whether the session lives; both ways of asking must agree."""
    verified = await auth.verify_token(tokens.access)
    refreshed = (await auth.refresh(tokens.refresh)).status_code
    assert (verified, refreshed) in {(200, 200), (401, 401)}
    return verified == 200


async def log_out(auth: AuthApp, tokens: Pair, query: str = "") -> int:
    return (await auth.http.post(f"{AUTH}/logout{query}", headers=bearer(tokens.access))).status_code


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


async def test_the_session_that_changed_the_password_lives_on_and_the_others_end(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    mine, others = await steps.log_in(account), await steps.log_in(account)

    await accounts.end_sessions(account, password=OTHER_PASSWORD, kept_session=session_of(mine))

    assert await lives(auth_app, mine)
    assert not await lives(auth_app, others)


async def test_a_kept_session_ends_with_the_next_change_that_another_session_makes(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    first = await steps.log_in(account)
    changed = await accounts.end_sessions(account, kept_session=session_of(first))
    second = await steps.log_in(changed)

    await accounts.end_sessions(changed, kept_session=session_of(second))

    assert not await lives(auth_app, first)
    assert await lives(auth_app, second)


async def test_a_kept_session_is_kept_through_its_refreshes(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)
    await accounts.end_sessions(account, kept_session=session_of(tokens))

    for _ in range(3):
        tokens = pair(await auth_app.refresh(tokens.refresh))

    assert await auth_app.verify_token(tokens.access) == 200


@pytest.mark.parametrize("change", [{"is_2fa": True}, {"email": "new@example.org"}, {"is_active": False}])
async def test_a_change_that_raises_the_epoch_ends_every_session(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged, change: dict[str, Any]
) -> None:
    first, second = await steps.log_in(account), await steps.log_in(account)

    await accounts.end_sessions(account, **change)

    assert [await lives(auth_app, tokens) for tokens in (first, second)] == [False, False]


async def test_an_inactive_account_has_no_living_session_whatever_its_epoch(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)

    await accounts.change(account, is_active=False)

    assert not await lives(auth_app, tokens)


async def test_sessions_from_before_a_deactivation_stay_ended_after_it(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)
    inactive = await accounts.end_sessions(account, is_active=False)

    await accounts.end_sessions(inactive, is_active=True)

    assert not await lives(auth_app, tokens)


async def test_a_deletion_ends_every_session(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)

    await accounts.delete(account)

    assert not await lives(auth_app, tokens)


async def test_a_change_of_the_name_ends_no_session(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)

    await accounts.change(account)  # auth hears of a new version, and no more

    assert await lives(auth_app, tokens)


async def test_logout_ends_this_session_alone(auth_app: AuthApp, steps: Steps, account: AccountChanged) -> None:
    mine, others = await steps.log_in(account), await steps.log_in(account)

    assert await log_out(auth_app, mine) == 204

    assert not await lives(auth_app, mine)
    assert await lives(auth_app, others)
    assert await log_out(auth_app, mine) == 401


async def test_logout_of_all_ends_every_session_of_the_account_and_of_no_other(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    mine, mine_too = await steps.log_in(account), await steps.log_in(account)
    strangers = await steps.log_in(await accounts.new())

    assert await log_out(auth_app, mine, "?all=true") == 204

    assert [await lives(auth_app, tokens) for tokens in (mine, mine_too)] == [False, False]
    assert await lives(auth_app, strangers)


async def test_after_a_logout_of_all_one_can_log_in_again(
    auth_app: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    await log_out(auth_app, await steps.log_in(account), "?all=true")

    assert await lives(auth_app, await steps.log_in(account))


async def test_only_an_access_token_is_good_at_verify_token_and_logout(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    for token in (tokens.refresh, login.temporary, tokens.access + "=", tokens.access[:-2]):
        assert await auth_app.verify_token(token) == 401
        assert await log_out(auth_app, Pair(token, "")) == 401
    assert (await auth_app.http.post(f"{AUTH}/verify-token")).headers["www-authenticate"] == 'Bearer realm="login2fa"'
    assert await auth_app.verify_token(tokens.access) == 200
