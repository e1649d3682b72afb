"""S15: a new code kills the old one; how soon it can be had, and how many an account is sent in an hour."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import httpx

from shared.messaging.events import OtpRequested
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Login, Steps, pair, wrong
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, clock, sql, steps
from tests.security.replica import replica
from tests.servers.databases import Databases

__all__ = ("accounts", "clock", "replica", "sql", "steps")

COOLDOWN = 30


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["retry-after"]


async def test_a_resent_code_is_a_new_one_and_the_old_one_is_dead(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    await clock.forward(COOLDOWN)

    assert (await auth_app.resend_otp(login.temporary)).status_code == 202

    new = await inbox.code_for(account.email, 2)
    if new != login.code:
        assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 400
    pair(await auth_app.verify_otp(login.temporary, new))


async def test_a_resend_within_the_cool_down_is_refused_and_says_for_how_long(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    refusals = [refusal(await auth_app.resend_otp(login.temporary))]
    await clock.forward(COOLDOWN - 1)
    refusals.append(refusal(await auth_app.resend_otp(login.temporary)))
    await clock.forward(1)
    accepted = await auth_app.resend_otp(login.temporary)
    refusals.append(refusal(await auth_app.resend_otp(login.temporary)))

    assert refusals == [(429, "too_many_requests", after) for after in ("30", "1", "30")]
    assert accepted.status_code == 202
    pair(await auth_app.verify_otp(login.temporary, await inbox.code_for(account.email, 2)))


async def test_a_challenge_gives_three_more_codes_and_no_fourth(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    for _ in range(3):
        await clock.forward(COOLDOWN)
        assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    await clock.forward(COOLDOWN)

    answer = await auth_app.resend_otp(login.temporary)

    assert refusal(answer) == (429, "too_many_requests", str(240 - 4 * COOLDOWN))  # no sooner than a new login
    pair(await auth_app.verify_otp(login.temporary, await inbox.code_for(account.email, 4)))
    assert len(inbox.codes[account.email]) == 4


async def test_attempts_stay_when_a_code_is_resent(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    for number in range(1, 5):
        await auth_app.verify_otp(login.temporary, wrong(login.code, number))
    await clock.forward(COOLDOWN)
    assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    new = await inbox.code_for(account.email, 2)

    assert (await auth_app.verify_otp(login.temporary, wrong(new))).status_code == 400  # the fifth

    assert (await auth_app.verify_otp(login.temporary, new)).status_code == 400
    assert (await auth_app.resend_otp(login.temporary)).status_code == 401


async def test_a_resent_code_ends_when_the_first_would_have(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    await clock.forward(239)
    assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    new = await inbox.code_for(account.email, 2)
    await clock.forward(1)

    assert (await auth_app.verify_otp(login.temporary, new)).status_code == 400
    assert (await auth_app.resend_otp(login.temporary)).status_code == 401


async def test_a_used_challenge_sends_no_more(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    pair(await auth_app.verify_otp(login.temporary, login.code))
    await clock.forward(COOLDOWN)

    assert (await auth_app.resend_otp(login.temporary)).status_code == 401


async def test_of_ten_resends_at_once_one_is_sent(
    clock: DatabaseClock, auth_app: AuthApp, replica: AuthApp, accounts: Accounts, steps: Steps, inbox: Inbox
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    await clock.forward(COOLDOWN)

    answers = await asyncio.gather(*(auth.resend_otp(login.temporary) for auth in (auth_app, replica) * 5))

    assert Counter(answer.status_code for answer in answers) == {202: 1, 429: 9}
    pair(await auth_app.verify_otp(login.temporary, await inbox.code_for(account.email, 2)))


async def sent_codes(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT coalesce(sum(resends + 1), 0) FROM challenges"))


async def test_an_account_gets_no_more_codes_in_an_hour_than_the_cap_by_logins_and_resends_together(
    clock: DatabaseClock, databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_codes_per_hour=4), bus) as auth:
        steps = Steps(auth, inbox)
        account, other = await accounts.new(is_2fa=True), await accounts.new(is_2fa=True)
        first = await steps.begin(account)
        await clock.forward(60)
        assert (await auth.resend_otp(first.temporary)).status_code == 202
        await clock.forward(COOLDOWN)
        await steps.begin(account)
        last = await steps.begin(account)
        await clock.forward(COOLDOWN)

        login, resend = await auth.log_in(account.username), await auth.resend_otp(last.temporary)
        await steps.begin(other)  # the cap is an account's own

        # The first challenge is the next to fall out of the hour, with both its codes: an hour after the second one.
        assert refusal(login) == refusal(resend) == (429, "too_many_requests", str(3600 - 2 * COOLDOWN))
        assert login.json()["error"] == "temporarily_unavailable"
        await clock.forward(3600 - 2 * COOLDOWN - 1)
        assert (await auth.log_in(account.username)).status_code == 429
        await clock.forward(1)
        await steps.begin(account)
        await steps.begin(account)
        assert (await auth.log_in(account.username)).status_code == 429


async def test_the_hourly_cap_holds_against_logins_at_once(
    databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_codes_per_hour=4), bus) as auth:
        account = await accounts.new(is_2fa=True)

        answers = await asyncio.gather(*(auth.log_in(account.username) for _ in range(10)))

        assert Counter(answer.status_code for answer in answers) == {200: 4, 429: 6}
        assert await sent_codes(sql) == 4


async def test_the_hourly_cap_holds_against_new_codes_of_many_logins_at_once(
    clock: DatabaseClock, databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_codes_per_hour=5), bus) as auth:
        account = await accounts.new(is_2fa=True)
        logins = [await Steps(auth, inbox).begin(account) for _ in range(3)]
        await clock.forward(COOLDOWN)

        answers = await asyncio.gather(*(auth.resend_otp(login.temporary) for login in logins))

        assert Counter(answer.status_code for answer in answers) == {202: 2, 429: 1}
        await inbox.code_for(account.email, 5)
        assert len(inbox.codes[account.email]) == 5


async def test_a_refused_code_is_not_sent_and_leaves_the_one_before_alive(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))

    assert (await auth_app.resend_otp(login.temporary)).status_code == 429

    # For update: the row of the first goes a moment after its code has come.
    waiting = await sql.fetch("SELECT FROM outbox WHERE type = $1 FOR UPDATE", OtpRequested.type)
    assert len(waiting) == 0
    assert await sent_codes(sql) == 1
    pair(await auth_app.verify_otp(login.temporary, login.code))


async def test_a_new_login_is_not_refused_for_the_cool_down_of_another(accounts: Accounts, steps: Steps) -> None:
    account = await accounts.new(is_2fa=True)

    first, second = await steps.begin(account), await steps.begin(account)

    assert first.temporary != second.temporary


async def test_an_earlier_challenge_stays_good_beside_a_new_one(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)
    first: Login = await steps.begin(account)
    await steps.begin(account)

    pair(await auth_app.verify_otp(first.temporary, first.code))


def test_the_limits_are_those_of_the_design(keys: Keys) -> None:
    settings = auth_settings(Databases("none", "postgresql+asyncpg://nobody@127.0.0.1:1/none"), keys)
    assert (settings.otp_resends, settings.otp_resend_cooldown, settings.otp_codes_per_hour) == (3, COOLDOWN, 20)
