"""S54: an answer of a passkey is good once, for five minutes, and from one key alone."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import asyncpg
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from login2fa_testing.webauthn_bytes import base64url
from services.auth.factors.ceremonies import LIFETIME
from shared.messaging.events import AccountChanged
from tests.auth_steps import pair
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock
from tests.integration.auth.conftest import accounts, clock, passkeys, sql
from tests.passkey_steps import PasskeySteps
from tests.security.passkey_owner import REFUSED, account, passkey, told
from tests.security.replica import replica

__all__ = ("account", "accounts", "clock", "passkey", "passkeys", "replica", "sql")


@pytest.mark.parametrize("step", ["the whole login", "the second step"])
async def test_of_fifty_uses_of_one_answer_at_once_on_two_replicas_exactly_one_succeeds(
    account: AccountChanged,
    auth_app: AuthApp,
    replica: AuthApp,
    passkeys: PasskeySteps,
    sql: asyncpg.Connection,
    step: str,
) -> None:
    passkey = await passkeys.enrolled(account, synced=True)  # whose counter alone would not tell the uses apart
    if step == "the whole login":
        temporary, path, asked = None, "passkey", "passkey/options"
    else:
        temporary, path, asked = await passkeys.temporary(account), "verify-passkey", "challenge/passkey"
    body = await passkeys.answered(asked, passkey, temporary)
    before = await sql.fetchval("SELECT count(*) FROM sessions")
    both = PasskeySteps(auth_app), PasskeySteps(replica)

    answers = await asyncio.gather(*(both[number % 2].post(path, temporary, **body) for number in range(50)))

    # Whoever waits too long for the row is told to come again: not refused for good, and not let in.
    outcomes = Counter(told(answer) for answer in answers)
    assert outcomes.pop((200, "")) == 1
    assert set(outcomes) <= {REFUSED, (503, "temporarily_unavailable")}
    assert await sql.fetchval("SELECT count(*) FROM sessions") == before + 1


async def test_a_wrong_answer_uses_its_question_too(passkey: SoftwarePasskey, passkeys: PasskeySteps) -> None:
    asked = await passkeys.question("passkey/options")
    wrong = {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"], user_handle=bytes(32))}
    right = {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"])}

    assert [told(await passkeys.post("passkey", **body)) for body in (wrong, right)] == [REFUSED] * 2


async def test_an_answer_is_good_for_five_minutes_by_the_clock_of_the_database(
    clock: DatabaseClock, account: AccountChanged, passkey: SoftwarePasskey, passkeys: PasskeySteps
) -> None:
    _ = account
    in_time, late = [await passkeys.answered("passkey/options", passkey) for _ in range(2)]

    await clock.forward(LIFETIME - 1)
    assert pair(await passkeys.post("passkey", **in_time))
    await clock.forward(1)
    assert told(await passkeys.post("passkey", **late)) == REFUSED


async def test_a_clone_that_lags_behind_is_refused_and_its_owner_is_told(
    passkey: SoftwarePasskey, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    clone = copy.copy(passkey)
    for _ in range(2):
        pair(await passkeys.log_in(passkey))

    assert told(await passkeys.log_in(clone)) == REFUSED

    assert "passkey_cloned" in await sql.fetchval("SELECT words FROM notices")
    assert pair(await passkeys.log_in(passkey))  # whose of the two it is, only its owner can say


async def test_nobody_without_the_key_can_claim_a_clone(
    passkey: SoftwarePasskey, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    pair(await passkeys.log_in(passkey))
    body: dict[str, Any] = await passkeys.answered("passkey/options", passkey, counter=0)
    body["credential"]["response"]["signature"] = base64url(bytes(70))

    assert told(await passkeys.post("passkey", **body)) == REFUSED
    assert "passkey_cloned" not in await sql.fetchval("SELECT words FROM notices")
