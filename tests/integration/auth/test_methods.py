"""Each account has its ways to complete a login; after a reset by mail the mailbox is not both halves of one."""

from __future__ import annotations

import pytest

from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, pair
from tests.builders import OTHER_PASSWORD
from tests.composed import AuthApp
from tests.factor_steps import App, FactorSteps
from tests.inbox import Inbox
from tests.passkey_steps import PasskeySteps


async def reset_by_mail(accounts: Accounts, account: AccountChanged) -> AccountChanged:
    return await accounts.end_sessions(account, is_2fa=True, password_by_mail=True)


async def test_the_strongest_comes_first_and_a_code_is_mailed_only_if_it_is_asked_for(
    account: AccountChanged, accounts: Accounts, app: App, factors: FactorSteps, auth_app: AuthApp, inbox: Inbox
) -> None:
    await accounts.change(account, is_2fa=True)

    asked = await factors.begin(account)

    assert (asked["methods"], asked["sent"]) == (["totp", "email", "recovery"], False)
    assert not inbox.codes[account.email]
    assert (await factors.post("challenge/email", asked["temporary_token"])).status_code == 202
    pair(await auth_app.verify_otp(asked["temporary_token"], await inbox.code_for(account.email)))
    assert app.id


@pytest.mark.parametrize("by_app", [True, False])
async def test_after_a_reset_by_mail_a_mailed_code_completes_no_login_until_another_factor_has(
    account: AccountChanged,
    accounts: Accounts,
    app: App,
    auth_app: AuthApp,
    factors: FactorSteps,
    inbox: Inbox,
    by_app: bool,
) -> None:
    account = await reset_by_mail(accounts, account)

    asked = await factors.begin(account)
    token = asked["temporary_token"]
    assert asked["methods"] == ["totp", "recovery"]
    problem(await factors.post("challenge/email", token), 409, "method_not_offered")
    problem(await auth_app.verify_otp(token, "000000"), 400, "otp_not_valid")
    assert not inbox.codes[account.email]

    if by_app:
        pair(await factors.post("verify-totp", token, otp=await app.next_code()))
    else:
        pair(await factors.post("verify-recovery", token, code=app.recovery_codes[0]))
    assert (await factors.begin(account))["methods"] == ["totp", "email", "recovery"]

    account = await reset_by_mail(accounts, account)
    assert (await factors.begin(account))["methods"] == ["totp", "recovery"]


async def test_a_password_that_its_owner_has_changed_since_is_no_longer_the_mailbox_s(
    account: AccountChanged, accounts: Accounts, app: App, auth_app: AuthApp
) -> None:
    account = await reset_by_mail(accounts, account)
    await accounts.end_sessions(account, password=OTHER_PASSWORD, password_by_mail=False)

    asked = (await auth_app.log_in(account.username, OTHER_PASSWORD)).json()

    assert asked["methods"] == ["totp", "email", "recovery"]
    assert app.id


async def test_where_a_mailed_code_is_the_only_second_factor_it_stays_one(
    account: AccountChanged, accounts: Accounts, auth_app: AuthApp, factors: FactorSteps, inbox: Inbox
) -> None:
    account = await reset_by_mail(accounts, account)

    asked = await factors.begin(account)

    assert "methods" not in asked
    pair(await auth_app.verify_otp(asked["temporary_token"], await inbox.code_for(account.email)))


async def test_a_login_that_takes_no_mailed_code_says_that_none_can_be_had(
    app: App, account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    _ = app
    told = (await auth_app.challenge(await factors.temporary(account))).json()

    assert (told["methods"], told["resend_allowed"], told["resend_in"]) == (["totp", "recovery"], False, None)


async def test_a_login_by_passkey_alone_does_not_vouch_for_a_password_that_came_by_mail(
    account: AccountChanged, accounts: Accounts, passkeys: PasskeySteps, factors: FactorSteps
) -> None:
    """It may be that of a thief with the mailbox. Neither does a step-up of such a session."""
    passkey = await passkeys.enrolled(account)
    account = await reset_by_mail(accounts, account)
    owner = pair(await passkeys.log_in(passkey))
    asked = (await factors.post("step-up", owner.access)).json()
    pair(await passkeys.verify(asked["temporary_token"], passkey))

    assert (await factors.begin(account))["methods"] == ["passkey", "recovery"]

    pair(await passkeys.verify(await factors.temporary(account), passkey))
    assert (await factors.begin(account))["methods"] == ["passkey", "email", "recovery"]
