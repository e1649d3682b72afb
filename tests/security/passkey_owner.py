"""An account with a passkey, for the tests of S54; and how an answer to it is told."""

from __future__ import annotations

import httpx
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts
from tests.composed import AuthApp
from tests.passkey_steps import PasskeySteps

REFUSED = (400, "passkey_not_valid")


@pytest.fixture
async def account(accounts: Accounts, auth_app: AuthApp) -> AccountChanged:
    _ = auth_app
    return await accounts.new()


@pytest.fixture
async def passkey(account: AccountChanged, passkeys: PasskeySteps) -> SoftwarePasskey:
    return await passkeys.enrolled(account)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")
