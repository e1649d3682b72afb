"""Recovery codes: each stands in for a second factor once."""

from __future__ import annotations

import asyncio

import asyncpg

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import AuthNoticeRequested
from shared.messaging.topology import NOTICES
from tests.auth_steps import Accounts, pair
from tests.composed import AuthApp
from tests.factor_steps import App, FactorSteps, claims
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.polling import eventually
from tests.recording import Recorder


async def test_the_first_factor_of_an_account_comes_with_ten_codes_that_log_in(
    account: AccountChanged, app: App, factors: FactorSteps
) -> None:
    assert len(set(app.recovery_codes)) == 10
    for number, code in enumerate(app.recovery_codes[:2], 1):
        answer = await factors.post("verify-recovery", await factors.temporary(account), code=code)
        assert answer.json()["recovery_codes_left"] == 10 - number
        assert claims(pair(answer).access)["amr"] == ["pwd", "otp", "mfa"]


async def test_a_code_is_read_as_people_write_it(account: AccountChanged, app: App, factors: FactorSteps) -> None:
    written = f" {app.recovery_codes[0].lower().replace('-', ' ').replace('0', 'o').replace('1', 'l')} "

    assert pair(await factors.post("verify-recovery", await factors.temporary(account), code=written))


async def test_a_used_a_wrong_and_a_replaced_code_are_refused_alike(
    account: AccountChanged, app: App, factors: FactorSteps
) -> None:
    used, replaced = app.recovery_codes[:2]
    owner = pair(await factors.post("verify-recovery", await factors.temporary(account), code=used))
    new = (await factors.post("factors/recovery-codes", owner.access)).json()["codes"]

    answers = [
        await factors.post("verify-recovery", await factors.temporary(account), code=code)
        for code in (used, replaced, "0000000000")
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert pair(await factors.post("verify-recovery", await factors.temporary(account), code=new[0]))


async def test_after_the_last_code_recovery_is_no_method_any_more(
    account: AccountChanged, app: App, factors: FactorSteps, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE recovery_codes SET used_at = now() WHERE number > 1")
    last = await factors.post("verify-recovery", await factors.temporary(account), code=app.recovery_codes[0])

    assert last.json()["recovery_codes_left"] == 0
    assert (await factors.begin(account))["methods"] == ["totp"]


async def test_an_account_without_a_second_factor_gets_no_codes(
    factors: FactorSteps, accounts: Accounts, auth_app: AuthApp
) -> None:
    owner = pair(await auth_app.log_in((await accounts.new()).username))

    answer = await factors.post("factors/recovery-codes", owner.access)

    assert (answer.status_code, answer.json()["code"]) == (409, "no_second_factor")


async def test_the_owner_is_told_of_each_code_that_is_used(
    account: AccountChanged, app: App, bus: MemoryBus, factors: FactorSteps
) -> None:
    told = Recorder()
    await bus.consume(NOTICES.queue, told, concurrency=1)
    pair(await factors.post("verify-recovery", await factors.temporary(account), code=app.recovery_codes[0]))

    def used() -> list[int | None]:
        notices = [AuthNoticeRequested.from_message(each) for each in told.deliveries]
        return [each.recovery_codes_left for each in notices if each.notice == "recovery_code_used"]

    assert await eventually(used) == [9]


async def test_of_two_first_factors_at_once_one_comes_with_codes_and_those_are_good(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps, passkeys: PasskeySteps
) -> None:
    app = await factors.begin_app(pair(await auth_app.log_in(account.username)))
    body = await passkeys.answered("factors/passkeys/options", SoftwarePasskey(ORIGIN), app.owner.access)

    answers = await asyncio.gather(
        factors.confirm(app, await app.code()), passkeys.post("factors/passkeys", app.owner.access, **body)
    )

    assert [answer.is_success for answer in answers] == [True, True]
    (codes,) = [found for answer in answers if (found := answer.json().get("recovery_codes"))]
    assert pair(await factors.post("verify-recovery", await factors.temporary(account), code=codes[0]))
