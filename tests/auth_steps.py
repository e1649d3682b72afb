"""What tests of auth do again and again: tell it of accounts, and log in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from services.auth.sessions.client import Client
from shared.messaging.events import AccountChanged, InStep
from shared.messaging.memory import MemoryBus
from shared.sealing import Sealer
from tests.builders import PASSWORD, account_changed, message, sealed_account, tombstone
from tests.composed import AuthApp
from tests.inbox import Inbox


class Accounts:
    """Stands for the users service. Each call returns when auth has dealt with the event."""

    def __init__(self, bus: MemoryBus, sealer: Sealer) -> None:
        self._bus = bus
        self.sealer = sealer
        self._administrators: dict[UUID, int] = {}

    async def tell(self, event: AccountChanged) -> AccountChanged:
        await self._bus.publish(message(event))
        self._administrators.pop(event.account_id, None)
        if event.is_admin and event.is_active:
            self._administrators[event.account_id] = event.version
        return event

    async def in_step(self, **fields: Any) -> None:
        """Auth has been told of all administrators; until it is, none passes."""
        values = {"moment": datetime.now(UTC), "incarnation": 1, "administrators": tuple(self._administrators.items())}
        await self._bus.publish(message(InStep(**values | fields)))

    async def new(self, **fields: Any) -> AccountChanged:
        return await self.tell(account_changed(self.sealer, **fields))

    def next_state(self, account: AccountChanged, *, password: str = PASSWORD, **fields: Any) -> AccountChanged:
        changed = {"event_id": uuid4(), "version": account.version + 1}
        changed_account = account.model_copy(update=changed | fields)
        if "sealed_password_hash" in fields:
            return changed_account
        return sealed_account(self.sealer, changed_account, password)

    async def change(self, account: AccountChanged, **fields: Any) -> AccountChanged:
        return await self.tell(self.next_state(account, **fields))

    async def end_sessions(self, account: AccountChanged, **fields: Any) -> AccountChanged:
        """A change of the kind that ends every session but `kept_session`."""
        return await self.change(account, session_epoch=account.session_epoch + 1, **fields)

    async def delete(self, account: AccountChanged) -> None:
        await self.tell(tombstone(account.account_id, account.version + 1))


@dataclass(frozen=True, slots=True)
class Pair:
    access: str
    refresh: str


def pair(answer: httpx.Response) -> Pair:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return Pair(body["access_token"], body["refresh_token"])


async def session_of(auth: AuthApp, account: AccountChanged) -> Pair:
    """Without the time that a login takes to compare the password."""
    parts, client = auth.parts, Client(address=None, user_agent=None)
    async with parts.database.transaction() as connection:
        begun = await parts.sessions.begin(connection, account.account_id, account.session_epoch, ["pwd"], client, b"")
    assert begun is not None
    return Pair(begun.access_token, begun.refresh_token)


@dataclass(frozen=True, slots=True)
class Login:
    """The first half of a login with 2FA: its code is in the inbox."""

    temporary: str
    code: str


class Steps:
    def __init__(self, auth: AuthApp, inbox: Inbox) -> None:
        self._auth = auth
        self._inbox = inbox

    async def begin(self, account: AccountChanged) -> Login:
        """Log in to an account with 2FA, as far as the code."""
        number = len(self._inbox.codes[account.email]) + 1
        answer = await self._auth.log_in(account.username)
        assert answer.status_code == 200, answer.text
        return Login(answer.json()["temporary_token"], await self._inbox.code_for(account.email, number))

    async def log_in(self, account: AccountChanged, password: str = PASSWORD) -> Pair:
        """Log in to an account without 2FA."""
        return pair(await self._auth.log_in(account.username, password))


def wrong(code: str, number: int = 1) -> str:
    """The `number`th of the codes that follow the right one; all differ from it and from each other."""
    return f"{(int(code) + number) % 1_000_000:06d}"
