"""S53: a recovery code logs in once; what is stored of it, and what a guess costs.

That wrong ones count: S52. Used and replaced ones one after the other: tests/integration/auth/test_recovery_codes.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import httpx
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, Steps, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.factor_steps import App, FactorSteps
from tests.integration.auth.conftest import account, accounts, app, clock, factors, sql, steps
from tests.security.replica import replica

__all__ = ("account", "accounts", "app", "clock", "factors", "replica", "sql", "steps")

AT_ONCE, LOGINS, SET = 50, 10, 10  # a login takes five attempts: all are compared


async def use(factors: FactorSteps, account: AccountChanged, code: str) -> httpx.Response:
    return await factors.post("verify-recovery", await factors.temporary(account), code=code)


async def test_of_50_uses_of_one_code_at_once_exactly_one_gives_a_pair(
    account: AccountChanged, app: App, auth_app: AuthApp, replica: AuthApp, sql: asyncpg.Connection
) -> None:
    both = [FactorSteps(each, app.clock) for each in (auth_app, replica)]
    temporary = [await both[0].temporary(account) for _ in range(LOGINS)]
    code = app.recovery_codes[0]
    before = await sql.fetchval("SELECT count(*) FROM sessions")

    uses = (both[n % 2].post("verify-recovery", temporary[n // 2 % LOGINS], code=code) for n in range(AT_ONCE))
    answers = await asyncio.gather(*uses)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: AT_ONCE - 1}
    assert [each.json()["recovery_codes_left"] for each in answers if each.is_success] == [SET - 1]
    assert await sql.fetchval("SELECT count(*) FROM sessions") == before + 1
    assert await sql.fetchval("SELECT count(*) FROM recovery_codes WHERE used_at IS NOT NULL") == 1


async def test_a_new_set_ends_the_old_one_and_open_logins(
    account: AccountChanged, app: App, factors: FactorSteps
) -> None:
    owner = await factors.log_in(account, app)
    under_way = await factors.temporary(account)
    new = (await factors.post("factors/recovery-codes", owner.access)).json()["codes"]

    assert (await use(factors, account, app.recovery_codes[0])).status_code == 400
    assert (await factors.post("verify-recovery", under_way, code=new[0])).status_code == 400
    assert (await use(factors, account, new[0])).status_code == 200


async def test_a_code_of_another_account_is_a_wrong_one(
    accounts: Accounts, account: AccountChanged, app: App, factors: FactorSteps
) -> None:
    other = await accounts.new()
    await factors.app(other)

    assert (await use(factors, other, app.recovery_codes[0])).status_code == 400
    assert (await use(factors, account, app.recovery_codes[0])).status_code == 200


async def test_a_guess_costs_one_hash_whatever_is_wrong_with_it(
    account: AccountChanged, app: App, factors: FactorSteps, auth_app: AuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many for a right one, a wrong one, a used one, and in a login that is over: the time tells nothing."""
    temporary = [await factors.temporary(account) for _ in range(2)]
    hashes: list[str] = []
    derive = auth_app.parts.passwords.derive

    async def counted(secret: str, *of: Any) -> bytes:
        hashes.append(secret)
        return await derive(secret, *of)

    monkeypatch.setattr(auth_app.parts.passwords, "derive", counted)
    right = app.recovery_codes[0]
    tried = [(0, "00000-00000"), (0, right), (0, right), (1, right), (1, app.recovery_codes[1])]

    answers = [await factors.post("verify-recovery", temporary[login], code=code) for login, code in tried]

    assert [answer.status_code for answer in answers] == [400, 200, 400, 400, 200]
    assert len(hashes) == len(tried)


async def test_codes_are_kept_as_argon2id_under_a_salt_of_the_set(
    account: AccountChanged, app: App, factors: FactorSteps, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    async def stored() -> tuple[bytes, set[bytes]]:
        salt = await sql.fetchval("SELECT recovery_salt FROM factors")
        return salt, {row["hash"] for row in await sql.fetch("SELECT hash FROM recovery_codes")}

    salt, hashes = await stored()
    bare = [code.replace("-", "") for code in app.recovery_codes]
    assert hashes == {await auth_app.parts.passwords.derive(code, salt) for code in bare}

    owner = await factors.log_in(account, app)
    await factors.post("factors/recovery-codes", owner.access)

    assert (await stored())[0] != salt


async def test_with_the_last_second_factor_the_codes_go_too(
    account: AccountChanged, app: App, factors: FactorSteps, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    """Else they would open the account's next ones."""
    owner = await factors.log_in(account, app)
    gone = await auth_app.http.delete(f"{AUTH}/factors/totp/{app.id}", headers=bearer(owner.access))

    assert gone.status_code == 204
    assert await sql.fetchval("SELECT count(*) FROM recovery_codes") == 0
    assert (await factors.post("factors/recovery-codes", owner.access)).json()["code"] == "no_second_factor"


async def test_with_mailed_codes_as_the_last_second_factor_the_codes_go_too(
    factors: FactorSteps, accounts: Accounts, auth_app: AuthApp, steps: Steps, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    owner = pair(await auth_app.verify_otp(login.temporary, login.code))
    assert (await factors.post("factors/recovery-codes", owner.access)).status_code == 201

    await accounts.end_sessions(account, is_2fa=False)

    assert await sql.fetchval("SELECT count(*) FROM recovery_codes") == 0
    assert await sql.fetchval("SELECT methods FROM factors") == []
