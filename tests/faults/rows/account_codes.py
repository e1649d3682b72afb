"""Codes for a new password, as their owners ask users for them and use them."""

from __future__ import annotations

import httpx
from prometheus_client import REGISTRY

from shared.messaging.address_events import CodeRequested
from shared.messaging.bus import Delivery, Done, Outcome
from shared.sealing import Sealer
from tests.builders import OTHER_PASSWORD
from tests.composed import USERS, UsersApp
from tests.polling import eventually


async def ask_for_reset(users: UsersApp, email: str) -> httpx.Response:
    return await users.http.post(f"{USERS}/password-reset", json={"email": email})


async def reset_token(users: UsersApp, email: str) -> str:
    answer = await ask_for_reset(users, email)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["reset_token"])


async def confirm_reset(users: UsersApp, token: str, code: str) -> httpx.Response:
    form = {"reset_token": token, "code": code, "password": OTHER_PASSWORD}
    return await users.http.post(f"{USERS}/password-reset/confirm", json=form)


async def resets(users: UsersApp, token: str, code: str) -> None:
    answer = await confirm_reset(users, token, code)
    assert answer.status_code == 204, answer.text


class CodesSent:
    """A handler that stands where the notifier does."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self.codes: list[str] = []

    async def __call__(self, delivery: Delivery) -> Outcome:
        event = CodeRequested.from_message(delivery)
        self.codes.append(self._sealer.open(event.sealed_code, event.code_context))
        return Done()

    async def the_only_one(self) -> str:
        await eventually(lambda: self.codes)
        (code,) = self.codes
        return code


def account_codes_counted(outcome: str) -> float:
    """As the notifier's metrics say."""
    return REGISTRY.get_sample_value("login2fa_account_codes_total", {"outcome": outcome}) or 0
