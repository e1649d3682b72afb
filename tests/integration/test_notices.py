"""Mails to the owner of an account: asked for by users and auth, at most one a day where a stranger can cause them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.auth.accounts.notices import Notices
from shared.messaging.bus import Delivery
from shared.messaging.event_types import EVENTS
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import AuthNoticeRequested, NoticeRequested
from shared.messaging.topology import NOTICES, OTP_DELIVERY
from tests.auth_steps import Accounts, Steps, wrong
from tests.builders import OTHER_PASSWORD, registered
from tests.composed import (
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    client,
    jwks_url,
    keys,
    running_auth,
    running_users,
    users_app,
    users_settings,
)
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, sql
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.databases import Databases

__all__ = ("accounts", "jwks_url", "keys", "sql", "users_app")


def _read(delivery: Delivery) -> NoticeRequested:
    event = EVENTS[delivery.routing_key].from_message(delivery)
    assert isinstance(event, NoticeRequested)
    return event


class Asked(Recorder):
    @property
    def notices(self) -> list[NoticeRequested]:
        return [_read(delivery) for delivery in self.deliveries]

    async def become(self, *expected: tuple[str, str]) -> None:
        """Address and word of all that have been asked for, in any order."""

        def all_asked() -> bool:
            assert sorted((each.email, each.notice) for each in self.notices) == sorted(expected)
            return True

        await eventually(all_asked)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def bus(asked: Asked, keys: Keys) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.consume(NOTICES.queue, asked, concurrency=1)
    await bus.consume("auth.accounts", Recorder(), concurrency=1)  # where auth is not composed
    yield bus
    await bus.close()


async def change_password(users: UsersApp, headers: dict[str, str]) -> None:
    password = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    assert (await users.http.post(f"{USERS}/change-password", headers=headers, json=password)).status_code == 200


PATCHES: list[tuple[dict[str, Any], list[str]]] = [
    ({"is_2fa": True}, ["two_factor_on"]),
    ({"email": "new@example.org"}, ["email_change_requested"]),
    ({"email": "new@example.org", "is_2fa": True}, ["email_change_requested", "two_factor_on"]),
    ({"name": "Else"}, []),
    ({"username": "else"}, ["username_changed"]),
    ({"is_2fa": False}, []),
]


@pytest.mark.parametrize(("change", "words"), PATCHES)
async def test_a_change_that_a_thief_would_make_is_told_to_the_address_from_before(
    users_app: UsersApp, asked: Asked, change: dict[str, Any], words: list[str]
) -> None:
    account = await registered(users_app.parts)
    headers = users_app.as_(account.id)
    assert (await users_app.http.patch(f"{USERS}/", headers=headers, json=change)).status_code == 200
    if change.get("is_2fa"):  # the change ended all other sessions, and asks for the code from now on
        headers = users_app.as_(account.id, epoch=1, amr="pwd otp mfa")
    await change_password(users_app, headers)

    await asked.become(*((account.email, word) for word in (*words, "password_changed")))
    assert all(event.expires_at > event.occurred_at for event in asked.notices)


@pytest.mark.parametrize(("setting", "words"), [("off", ["two_factor_on"]), ("optional", []), ("required", [])])
async def test_users_too_tells_an_address_that_is_not_proved_nothing_unless_none_is_ever_proved(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, asked: Asked, setting: str, words: list[str]
) -> None:
    settings = users_settings(databases, keys, jwks_url, email_verification=setting)
    async with running_users(settings, keys, bus) as users:
        account = await registered(users.parts, email_verified_at=None)
        proved = await registered(users.parts)
        for each in (account, proved):
            headers = users.as_(each.id)
            assert (await users.http.patch(f"{USERS}/", headers=headers, json={"is_2fa": True})).status_code == 200

        await asked.become(*((account.email, word) for word in words), (proved.email, "two_factor_on"))


EARLIER = "UPDATE notices SET told_at = ARRAY(SELECT at - $1::interval FROM unnest(told_at) AS at)"
LIMITS = {"throttle_free": 2, "throttle_first_wait": 0, "throttle_name_per_hour": 4, "otp_wrong_in_a_row": 2}


@pytest.fixture
async def world(databases: Databases, keys: Keys, asked: Asked) -> AsyncIterator[tuple[AuthApp, Accounts, Steps]]:
    bus, inbox = MemoryBus(), Inbox(keys.otp_sealer)
    await bus.consume(NOTICES.queue, asked, concurrency=1)
    await bus.consume(OTP_DELIVERY.queue, inbox, concurrency=1)
    async with running_auth(auth_settings(databases, keys, **LIMITS), bus) as app:
        yield app, Accounts(bus, keys.account_sealer), Steps(app, inbox)
    await bus.close()


async def guess(auth: AuthApp, account: AccountChanged | None, times: int, address: str = "127.0.0.1") -> None:
    username = account.username if account is not None else "nobody"
    async with client(auth.app, address) as http:
        for _ in range(times):
            body = {"username": username, "password": OTHER_PASSWORD}
            assert (await http.post("/api/v1/auth/token", data=body)).status_code == 400


async def test_wrong_passwords_are_told_when_the_first_wait_begins_and_once_a_day(
    world: tuple[AuthApp, Accounts, Steps], asked: Asked, sql: asyncpg.Connection
) -> None:
    auth, accounts, _ = world
    account, other = await accounts.new(), await accounts.new()
    told = (account.email, "wrong_passwords")
    await guess(auth, account, 1)
    await guess(auth, other, 1)
    await guess(auth, None, 2)
    assert await sql.fetchval("SELECT count(*) FROM notices") == 0

    await guess(auth, account, 2)
    await asked.become(told)
    await sql.execute(EARLIER, timedelta(hours=23, minutes=59))
    await guess(auth, account, 1)
    await guess(auth, other, 1)
    await asked.become(told, (other.email, "wrong_passwords"))

    await sql.execute(EARLIER, timedelta(minutes=1))
    await sql.execute("DELETE FROM name_failures")
    await guess(auth, account, 1)
    await asked.become(told, told, (other.email, "wrong_passwords"))


async def test_wrong_passwords_from_everywhere_are_told_when_the_hourly_limit_begins(
    world: tuple[AuthApp, Accounts, Steps], asked: Asked, sql: asyncpg.Connection
) -> None:
    auth, accounts, _ = world
    account = await accounts.new()
    for number in range(3):
        await guess(auth, account, 1, f"192.0.2.{number}")
    assert await sql.fetchval("SELECT count(*) FROM notices") == 0

    await guess(auth, account, 1, "192.0.2.77")

    await asked.become((account.email, "wrong_passwords"))


async def test_whose_codes_are_off_is_told(world: tuple[AuthApp, Accounts, Steps], asked: Asked) -> None:
    auth, accounts, steps = world
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    for number in (1, 2):
        assert (await auth.verify_otp(login.temporary, wrong(login.code, number))).status_code == 400

    await asked.become((account.email, "codes_off"))


async def test_a_notice_of_a_used_recovery_code_carries_how_many_are_left(
    world: tuple[AuthApp, Accounts, Steps], asked: Asked
) -> None:
    auth, accounts, _ = world
    account = await accounts.new()
    notices = Notices(auth.parts.settings, auth.parts.database)
    async with auth.parts.database.transaction() as connection:
        await notices.tell_owner(connection, account.account_id, "recovery_code_used", recovery_codes_left=0)

    await asked.become((account.email, "recovery_code_used"))
    [event] = asked.notices
    assert isinstance(event, AuthNoticeRequested)
    assert event.recovery_codes_left == 0


@pytest.mark.parametrize(("setting", "told"), [("off", True), ("optional", False), ("required", False)])
async def test_an_address_that_is_not_proved_is_told_nothing_unless_none_is_ever_proved(
    databases: Databases, keys: Keys, asked: Asked, sql: asyncpg.Connection, setting: str, told: bool
) -> None:
    """Codes go to it all the same: it is by them that it is proved."""
    bus, inbox = MemoryBus(), Inbox(keys.otp_sealer)
    await bus.consume(NOTICES.queue, asked, concurrency=1)
    await bus.consume(OTP_DELIVERY.queue, inbox, concurrency=1)
    async with running_auth(auth_settings(databases, keys, email_verification=setting, **LIMITS), bus) as auth:
        account = await Accounts(bus, keys.account_sealer).new(is_2fa=True, email_verified=False)
        login = await Steps(auth, inbox).begin(account)
        await guess(auth, account, 2)
        for number in (1, 2):
            assert (await auth.verify_otp(login.temporary, wrong(login.code, number))).status_code == 400
        await auth.parts.login.attempts._notices.close()
        words = ["wrong_passwords", "codes_off"] if told else []
        await asked.become(*((account.email, word) for word in words))
        assert await sql.fetchval("SELECT count(*) FROM notices") == (1 if told else 0)
    await bus.close()


async def test_who_may_not_log_in_is_told_nothing(
    world: tuple[AuthApp, Accounts, Steps], asked: Asked, sql: asyncpg.Connection
) -> None:
    auth, accounts, _ = world
    await guess(auth, await accounts.new(is_active=False), 2)

    await auth.parts.login.attempts._notices.close()
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE type = $1", AuthNoticeRequested.type) == 0
    assert asked.notices == []
