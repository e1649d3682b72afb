"""All three services on one bus, a mail server, and people who cause mails to one mailbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.notifier import app as notifier
from services.notifier.mails.style import words
from services.users import accounts
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import NoticeWord
from tests.builders import registered
from tests.composed import (
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    notifier_settings,
    running_auth,
    running_users,
    users_settings,
)
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.mail import MailSink

# Codes an hour; notices a day; of these auth's seventeen, the two of resets, one of a deletion, one of a registration.
CAP, A_DAY, KEPT = 6, 30, 21
TEN_MINUTES = timedelta(minutes=10)
VICTIM = "victim@example.net"

_EARLIER = "UPDATE {}.notices SET told_at = ARRAY(SELECT at - $1::interval FROM unnest(told_at) AS at)"
_UNSENT = "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM users.outbox)"
_WORDS = {f"[Login2FA] {words('en')[f'notice.{word}.subject']}": word for word in get_args(NoticeWord)}


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """All three services are on it."""
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    settings = auth_settings(databases, keys, otp_codes_per_hour=CAP, throttle_free=1, throttle_first_wait=0)
    async with running_auth(settings, bus) as app:
        yield app


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    """Limits no codes that prove an address: these are not what is counted here."""
    limits = {"mailed_code_cooldown": 0, "address_proofs_per_hour": 1000}
    async with running_users(users_settings(databases, keys, jwks_url, **limits), keys, bus) as app:
        yield app


@pytest.fixture
async def mails(
    bus: MemoryBus, keys: Keys, auth_app: AuthApp, users_app: UsersApp, mail_sink: MailSink
) -> AsyncIterator[MailSink]:
    async with notifier.running(notifier_settings(keys, smtp_port=mail_sink.port), bus):
        yield mail_sink


class Time:
    """Everything is sent, and then so much time passes."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin

    async def all_sent(self) -> None:
        async def empty() -> bool:
            return not await self._admin.fetchval(_UNSENT)

        await eventually(empty)

    async def passes(self, time: timedelta) -> None:
        await self.all_sent()
        for schema in ("auth", "users"):
            await self._admin.execute(_EARLIER.format(schema), time)


@pytest.fixture
async def time(databases: Databases) -> AsyncIterator[Time]:
    async with connected(databases.admin_url) as admin:
        yield Time(admin)


class Person:
    """Has one session, of two factors, which is kept whatever it changes, and reads every mailbox."""

    def __init__(self, users: UsersApp, account: UUID, mails: MailSink) -> None:
        self._users, self.account, self._mails = users, account, mails
        self._session, self.epoch = uuid4(), 0

    @property
    def headers(self) -> dict[str, str]:
        return self._users.as_(self.account, session=self._session, epoch=self.epoch, amr="pwd otp mfa")

    async def patch(self, **fields: Any) -> None:
        await self._done("PATCH", f"{USERS}/", fields)

    async def move(self, email: str) -> None:
        """To another address, by the code that goes there."""
        earlier = self._codes(email, "change")
        await self.patch(email=email)
        code = await self._mails.account_code_for(email, "change", earlier + 1)
        await self._done("POST", f"{USERS}/verify-email", {"code": code})

    async def forget_password(self, email: str, password: str) -> None:
        """Has another session afterwards."""
        earlier = self._codes(email, "reset")
        asked = await self._done("POST", f"{USERS}/password-reset", {"email": email})
        code = await self._mails.account_code_for(email, "reset", earlier + 1)
        reset = {"reset_token": asked.json()["reset_token"], "code": code, "password": password}
        await self._done("POST", f"{USERS}/password-reset/confirm", reset)
        async with self._users.parts.database.transaction() as connection:
            row = await accounts.find(connection, self.account)
        assert row is not None
        self._session, self.epoch = uuid4(), row.session_epoch

    def _codes(self, email: str, purpose: str) -> int:
        return len([mail for mail in self._mails.mails_to(email) if mail.purpose == purpose])

    async def is_proved(self) -> bool:
        answer = await self._users.http.get(f"{USERS}/me", headers=self.headers)
        return answer.json()["email_verified_at"] is not None

    async def change_password(self, password: str) -> None:
        await self._done("POST", f"{USERS}/change-password", {"password": password, "confirm_password": password})

    async def _done(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        """A database that has no time at the moment says so, and is asked again."""

        async def answered() -> httpx.Response:
            answer = await self._users.http.request(method, path, headers=self.headers, json=body)
            assert answer.is_success, answer.text
            return answer

        return await eventually(answered)


@pytest.fixture
async def owner(users_app: UsersApp, mails: MailSink) -> Person:
    return Person(users_app, (await registered(users_app.parts, email=VICTIM)).id, mails)


async def toggle(person: Person, times: int = 1) -> None:
    for _ in range(times):
        await person.patch(is_2fa=True)
        await person.patch(is_2fa=False)


def told(mails: MailSink, address: str = VICTIM) -> Counter[NoticeWord]:
    return Counter(_WORDS[str(mail.message["Subject"])] for mail in mails.mails_to(address) if mail.purpose == "notice")
