"""S37: whoever floods one process with passwords fills its own share of the hashing queue and nobody else's.

No hash ends until the test lets it, and the queue has room for eight: two for each address and for each account.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from shared.messaging.memory import MemoryBus
from shared.passwords.hashing import Passwords
from tests.auth_steps import Accounts
from tests.builders import OTHER_PASSWORD, PASSWORD, registration
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    client,
    running_auth,
    running_users,
    users_settings,
)
from tests.integration.auth.conftest import accounts
from tests.polling import eventually
from tests.security.somebody import register
from tests.servers.databases import Databases

__all__ = ("accounts",)

ROOM, SHARE = 8, 2
FLOODER, SOMEBODY, PROXY = "198.51.100.7", "203.0.113.1", "192.0.2.1"
SETTINGS = {"hash_threads": 1, "trusted_proxies": PROXY}

_names = count()


class HeldUp:
    """The queue of a process in which no hash ends."""

    def __init__(self, passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passwords = passwords
        self._monkeypatch = monkeypatch

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Until the end of the block; what waits then ends as it would have."""
        may_end, timed = threading.Event(), self._passwords._timed

        def waits(work: Any, _algorithm: str) -> Any:
            assert may_end.wait(60)
            return work(), 0.0

        with self._monkeypatch.context() as patched:
            patched.setattr(self._passwords, "_timed", waits)
            patched.setattr(self._passwords, "_duration", 1.0)
            patched.setattr(self._passwords, "_max_wait", ROOM + 0.5)
            try:
                yield
            finally:
                may_end.set()
        assert self._passwords._timed == timed

    async def waiting(self, number: int) -> None:
        await eventually(lambda: self._passwords._pool.waiting == number)


@pytest.fixture
async def auth(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys, **SETTINGS), bus) as app:
        yield app


@pytest.fixture
async def users(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    async with running_users(users_settings(databases, keys, jwks_url, **SETTINGS), keys, bus) as app:
        yield app


async def registered(users: UsersApp, address: str) -> httpx.Response:
    async with client(users.app, address) as http:
        return await http.post(f"{USERS}/registration", json=registration())


async def changed(users: UsersApp, account: UUID, address: str = SOMEBODY, epoch: int = 0) -> httpx.Response:
    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    async with client(users.app, address) as http:
        return await http.post(f"{USERS}/change-password", json=body, headers=users.as_(account, epoch=epoch))


def another_name() -> str:
    return f"nobody {next(_names)}"


def is_refused(answer: httpx.Response, status: int = 503) -> None:
    assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (status, True), answer.text


async def test_logins_of_one_address_with_any_names_take_its_share_and_others_log_in(
    auth: AuthApp, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, queue = await accounts.new(), HeldUp(auth.parts.passwords, monkeypatch)
    with queue.held_up():
        flood = [asyncio.create_task(auth.log_in(another_name(), PASSWORD, FLOODER)) for _ in range(SHARE)]
        await queue.waiting(SHARE)

        is_refused(await auth.log_in(another_name(), PASSWORD, FLOODER))
        is_refused(await auth.log_in(account.username, PASSWORD, FLOODER))
        other = asyncio.create_task(auth.log_in(account.username, PASSWORD, SOMEBODY))
        await queue.waiting(SHARE + 1)

    assert (await other).status_code == 200
    assert {(await each).status_code for each in flood} == {400}


async def test_logins_with_one_name_from_many_addresses_take_its_share_and_others_log_in(
    auth: AuthApp, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether anybody has the name or not."""
    account, queue = await accounts.new(), HeldUp(auth.parts.passwords, monkeypatch)
    for name in ((await accounts.new()).username, another_name()):
        with queue.held_up():
            flood = [asyncio.create_task(auth.log_in(name, "x", f"203.0.113.{number}")) for number in range(2, 4)]
            await queue.waiting(SHARE)

            is_refused(await auth.log_in(name, "x", FLOODER))
            other = asyncio.create_task(auth.log_in(account.username, PASSWORD, FLOODER))
            await queue.waiting(SHARE + 1)

        assert (await other).status_code == 200
        assert {(await each).status_code for each in flood} == {400}


async def test_clients_of_a_trusted_proxy_that_names_none_are_not_taken_for_one(
    auth: AuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = HeldUp(auth.parts.passwords, monkeypatch)
    with queue.held_up():
        asked = [asyncio.create_task(auth.log_in(another_name(), PASSWORD, PROXY)) for _ in range(ROOM)]
        await queue.waiting(ROOM)

        is_refused(await auth.log_in(another_name(), PASSWORD, SOMEBODY))  # the queue itself is full

    assert {(await each).status_code for each in asked} == {400}


async def test_registrations_of_one_address_take_its_share_and_others_register(
    users: UsersApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = HeldUp(users.parts.passwords, monkeypatch)
    with queue.held_up():
        flood = [asyncio.create_task(registered(users, FLOODER)) for _ in range(SHARE)]
        await queue.waiting(SHARE)

        is_refused(await registered(users, FLOODER))
        other = asyncio.create_task(registered(users, SOMEBODY))
        await queue.waiting(SHARE + 1)

    assert {(await each).status_code for each in (*flood, other)} == {201}


async def test_of_one_account_one_password_is_changed_at_a_time_and_others_go_on(
    users: UsersApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, another = [UUID((await register(users))["id"]) for _ in range(2)]
    queue = HeldUp(users.parts.passwords, monkeypatch)
    with queue.held_up():
        first = asyncio.create_task(changed(users, own))
        await queue.waiting(1)

        for _ in range(SHARE):
            is_refused(await changed(users, own, FLOODER), 429)
        other = asyncio.create_task(changed(users, another))
        await queue.waiting(2)
        is_refused(await registered(users, SOMEBODY))  # changes of passwords take the address's share too

    assert [(await each).status_code for each in (first, other)] == [200, 200]
    assert (await changed(users, own, epoch=1)).status_code == 200


async def test_recovery_codes_of_any_accounts_take_the_share_of_their_address(
    auth: AuthApp, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts cost nothing: those of one address would else fill the queue."""
    tokens = [auth.parts.tokens.temporary(uuid7(), uuid7(), datetime.now(UTC)) for _ in range(SHARE + 1)]

    async def guess(token: str) -> httpx.Response:
        async with client(auth.app, FLOODER) as http:
            return await http.post(f"{AUTH}/verify-recovery", json={"code": "00000-00000"}, headers=bearer(token))

    account, queue = await accounts.new(), HeldUp(auth.parts.passwords, monkeypatch)
    with queue.held_up():
        flood = [asyncio.create_task(guess(token)) for token in tokens[:SHARE]]
        await queue.waiting(SHARE)

        is_refused(await asyncio.wait_for(guess(tokens[SHARE]), 5))
        other = asyncio.create_task(auth.log_in(account.username, PASSWORD, SOMEBODY))
        await queue.waiting(SHARE + 1)

    assert (await other).status_code == 200
    assert {(await each).status_code for each in flood} == {400}
