"""S52: a code of an authenticator app logs in once, whatever is tried at once; wrong codes count, whatever their kind.

That no step is used twice one after the other: tests/integration/auth/test_authenticator_app.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, pair, wrong
from tests.composed import AuthApp
from tests.factor_steps import App, FactorSteps
from tests.inbox import Inbox
from tests.integration.auth.conftest import account, accounts, app, clock, factors, passkeys, sql
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.security.replica import replica

__all__ = ("account", "accounts", "app", "clock", "factors", "passkeys", "replica", "sql")

ATTEMPTS, IN_A_ROW, AT_ONCE = 5, 100, 50


class Ways:
    """One account that logs in by app, by a mailed code, and by recovery code."""

    def __init__(self, account: AccountChanged, factors: FactorSteps, app: App, inbox: Inbox) -> None:
        self.account = account
        self._factors = factors
        self._app = app
        self._inbox = inbox
        self._mailed = "not yet"

    async def begin(self) -> str:
        temporary = await self._factors.temporary(self.account)
        number = len(self._inbox.codes[self.account.email]) + 1
        assert (await self._factors.post("challenge/email", temporary)).status_code == 202
        self._mailed = await self._inbox.code_for(self.account.email, number)
        return temporary

    async def wrong_ones(self, temporary: str) -> set[str]:
        """One of each kind: how they were answered."""
        nobody_s = "00000-00000"  # one of 2^50
        return await self._try(temporary, wrong(self._mailed), wrong(await self._app.code(), 7), nobody_s)

    async def right_ones(self, temporary: str) -> set[str]:
        return await self._try(temporary, self._mailed, await self._app.next_code(), self._app.recovery_codes[0])

    async def _try(self, temporary: str, mailed: str, of_app: str, recovery: str) -> set[str]:
        answers = [
            await self._factors.post("verify-otp", temporary, otp=mailed),
            await self._factors.post("verify-totp", temporary, otp=of_app),
            await self._factors.post("verify-recovery", temporary, code=recovery),
        ]
        return {answer.json().get("code", "a pair") for answer in answers}


@pytest.fixture
async def ways(accounts: Accounts, account: AccountChanged, factors: FactorSteps, app: App, inbox: Inbox) -> Ways:
    return Ways(await accounts.change(account, is_2fa=True), factors, app, inbox)


@pytest.mark.parametrize("logins", [2, 10])
async def test_of_50_uses_of_one_code_at_once_exactly_one_gives_a_pair(
    account: AccountChanged, app: App, auth_app: AuthApp, replica: AuthApp, sql: asyncpg.Connection, logins: int
) -> None:
    """A login takes five attempts: of ten logins all are compared."""
    both = [FactorSteps(each, app.clock) for each in (auth_app, replica)]
    temporary = [await both[0].temporary(account) for _ in range(logins)]
    code = await app.next_code()
    before = await sql.fetchval("SELECT count(*) FROM sessions")

    # Each login on both replicas.
    uses = (both[use % 2].post("verify-totp", temporary[use // 2 % logins], otp=code) for use in range(AT_ONCE))
    answers = await asyncio.gather(*uses)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: AT_ONCE - 1}
    assert await sql.fetchval("SELECT count(*) FROM sessions") == before + 1


async def test_the_attempts_of_a_login_are_shared_by_all_kinds_of_codes(ways: Ways, sql: asyncpg.Connection) -> None:
    temporary = await ways.begin()

    answered = [await ways.wrong_ones(temporary) for _ in range(2)]  # the sixth is not compared

    assert answered == [{"otp_not_valid"}] * 2
    assert await sql.fetchval("SELECT max(attempts) FROM challenges") == ATTEMPTS
    assert await ways.right_ones(temporary) == {"otp_not_valid"}


async def test_wrong_codes_of_every_kind_count_together_and_turn_all_of_them_off_but_no_passkey(
    ways: Ways, app: App, factors: FactorSteps, auth_app: AuthApp, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    """So whoever has stolen the password can not shut out an owner who has a passkey."""
    passkey = SoftwarePasskey(ORIGIN)
    assert (await passkeys.enrol(await factors.log_in(ways.account, app), passkey)).status_code == 201
    temporary = await ways.begin()
    await sql.execute("INSERT INTO code_failures VALUES ($1, $2)", ways.account.account_id, IN_A_ROW - 3)

    assert await ways.wrong_ones(temporary) == {"otp_not_valid"}

    assert await sql.fetchval("SELECT failures FROM code_failures") == IN_A_ROW
    assert await ways.right_ones(temporary) == {"otp_not_valid"}
    asked = (await auth_app.log_in(ways.account.username)).json()
    assert asked["methods"] == ["passkey"]
    pair(await passkeys.verify(asked["temporary_token"], passkey))
    await sql.execute("UPDATE factors SET methods = array_remove(methods, 'passkey')")
    assert (await auth_app.log_in(ways.account.username)).json()["code"] == "codes_off"


async def test_a_right_code_of_one_kind_forgets_the_wrong_ones_of_all(
    ways: Ways, factors: FactorSteps, app: App, sql: asyncpg.Connection
) -> None:
    temporary = await ways.begin()
    await ways.wrong_ones(temporary)

    pair(await factors.post("verify-totp", temporary, otp=await app.next_code()))

    assert await sql.fetchval("SELECT count(*) FROM code_failures") == 0


async def test_a_secret_opens_in_its_own_row_alone(
    accounts: Accounts, account: AccountChanged, factors: FactorSteps, app: App, sql: asyncpg.Connection
) -> None:
    """Whoever can write to the table can not give an account the secret of another app."""
    other = await accounts.new()
    own = await factors.app(other)
    await sql.execute("UPDATE totp SET sealed_secret = (SELECT sealed_secret FROM totp WHERE id = $1)", own.id)

    answer = await factors.post("verify-totp", await factors.temporary(account), otp=await own.next_code())

    problem(answer, 400, "otp_not_valid")
    assert await factors.log_in(other, own)
    assert app.secret != own.secret
