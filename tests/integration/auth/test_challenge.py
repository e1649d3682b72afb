"""GET /auth/challenge: how a login gets on, told to who holds its temporary token and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Steps, pair, wrong
from tests.code_reports import CodeReports
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.inbox import Inbox
from tests.servers.databases import Databases

COOLDOWN = 30


async def progress(auth_app: AuthApp, temporary: str) -> dict[str, Any]:
    answer = await auth_app.challenge(temporary)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


async def test_a_new_challenge_tells_what_is_left_and_when_another_code_can_be_had(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    await clock.forward(12)

    assert await progress(auth_app, login.temporary) == {
        "methods": ["email"],
        "sent": True,
        "email_hint": "p***@e***.org",
        "status": "pending",
        "resend_allowed": False,
        "resend_in": 18,
        "resends_left": 3,
        "attempts_left": 5,
        "expires_in": 228,
    }


async def test_what_it_says_of_a_resend_is_what_a_resend_then_answers(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    for left in (3, 2, 1):
        told = await progress(auth_app, login.temporary)
        assert (told["resend_allowed"], told["resend_in"], told["resends_left"]) == (False, COOLDOWN, left)
        assert (await auth_app.resend_otp(login.temporary)).status_code == 429
        await clock.forward(COOLDOWN)
        told = await progress(auth_app, login.temporary)
        assert (told["resend_allowed"], told["resend_in"], told["resends_left"]) == (True, 0, left)
        assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    await clock.forward(COOLDOWN)

    told = await progress(auth_app, login.temporary)

    assert (told["resend_allowed"], told["resend_in"], told["resends_left"]) == (False, None, 0)
    assert (await auth_app.resend_otp(login.temporary)).status_code == 429


async def test_an_account_with_its_codes_of_this_hour_used_up_is_told_that_there_is_none(
    clock: DatabaseClock, databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_codes_per_hour=1), bus) as auth_app:
        account = await accounts.new(is_2fa=True)
        login = await Steps(auth_app, inbox).begin(account)
        await clock.forward(COOLDOWN)

        told = await progress(auth_app, login.temporary)

        assert (told["resend_allowed"], told["resend_in"], told["resends_left"]) == (False, None, 3)
        assert (await auth_app.resend_otp(login.temporary)).status_code == 429


async def test_wrong_codes_are_counted_down(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    left = []
    for number in range(1, 5):
        await auth_app.verify_otp(login.temporary, wrong(login.code, number))
        left.append((await progress(auth_app, login.temporary))["attempts_left"])

    assert left == [4, 3, 2, 1]


async def test_a_challenge_that_is_used_spent_or_expired_has_no_progress(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)
    used, spent, expired = [await steps.begin(account) for _ in range(3)]
    pair(await auth_app.verify_otp(used.temporary, used.code))
    for number in range(1, 6):
        await auth_app.verify_otp(spent.temporary, wrong(spent.code, number))
    answers = [await auth_app.challenge(login.temporary) for login in (used, spent)]
    await clock.forward(239)
    assert (await progress(auth_app, expired.temporary))["expires_in"] == 1
    await clock.forward(1)
    answers.append(await auth_app.challenge(expired.temporary))

    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [(401, "Token not valid")] * 3


async def test_a_challenge_whose_sessions_were_ended_has_no_progress(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await accounts.end_sessions(account)

    assert (await auth_app.challenge(login.temporary)).status_code == 401


async def test_no_other_token_asks(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    for token in (tokens.access, tokens.refresh, "no.token.atall"):
        answer = await auth_app.challenge(token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("word", ["delivered", "given_up", "deferred"])
async def test_the_answer_says_nothing_of_the_address_or_the_code(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, word: str
) -> None:
    account = await accounts.new(is_2fa=True, email="canary@mailbox.example")
    login = await steps.begin(account)
    await reports.tell(account, word)

    answer = await auth_app.challenge(login.temporary)

    said = answer.text + str(answer.headers)
    assert not [part for part in ("canary", "mailbox", login.code, str(account.account_id)) if part in said]
