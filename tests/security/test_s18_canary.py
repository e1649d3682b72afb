"""S18: a marked password, marked codes and what is secret of second factors are nowhere but where they belong."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, repeat
from typing import Any

import aio_pika
import httpx
import pytest
import structlog
from aio_pika.abc import AbstractQueue
from prometheus_client import generate_latest

from services.auth.factors import challenges, open_challenges
from services.notifier import app as notifier
from services.notifier.database_time import DatabaseTime
from services.users import codes as users_codes
from shared.long_codes import in_halves
from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.topology import EVENTS_EXCHANGES
from shared.observability import logs
from tests.builders import registered, registration
from tests.composed import (
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    notifier_settings,
    running_auth,
    running_users,
    users_settings,
)
from tests.polling import eventually
from tests.security.canary import dump, found
from tests.security.factor_secrets import FactorSecrets
from tests.security.somebody import password_accepted
from tests.servers.collector import everything_traced
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.servers.own_broker import OwnBroker, own_broker

PASSWORD, NEXT_PASSWORD, WRONG_PASSWORD, RESET_PASSWORD = (
    f'{word} & 7% "möglich"/ü?' for word in ("kanari", "zeisig", "dompfaff", "stieglitz")
)
CODES = ["918273", "827364", "736455", "645546", "554637"]
MISTYPED = "463728"
ACCOUNT_CODES = ["K7X9M2Q4TZ", "8RSTVWXYZ0", "5ABCDEFGHJ", "3KMNPQRSTV"]
MISTYPED_ACCOUNT_CODE = "9WXYZ01234"
PATIENCE = 60.0
LEVELS = ["debug", *(pytest.param(level, marks=pytest.mark.long) for level in ("info", "warning", "error"))]


@pytest.fixture(scope="module")
def broker() -> Iterator[OwnBroker]:
    """Of our own: its files are read."""
    with own_broker() as broker:
        yield broker


@pytest.fixture(params=LEVELS)
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Lines that processes write at this level; the first one has those of all."""
    root, mail_server, stream = logging.getLogger(), logging.getLogger("mail.log"), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("everything", request.param, stream)
    mail_server.setLevel("CRITICAL")  # the one of the tests runs in this process too, and is not ours
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    mail_server.setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _codes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = chain(CODES, repeat("192837"))  # drawn for a login by app too, and not sent
    for each in (challenges, open_challenges):
        monkeypatch.setattr(each, "new_code", lambda: next(codes))
    account_codes = iter(ACCOUNT_CODES)
    monkeypatch.setattr(users_codes, "new_code", lambda: next(account_codes))


@dataclass
class World:
    auth: AuthApp
    users: UsersApp
    mails: MailSink
    overheard: AbstractQueue
    log: io.StringIO
    url: str
    traces: Callable[[], bytes]
    answers: list[httpx.Response] = field(default_factory=list)

    async def log_in(self, username: str, password: str = PASSWORD) -> dict[str, Any]:
        self.answers.append(await self.auth.log_in(username, password))
        return dict(self.answers[-1].json())

    async def verify(self, temporary: str, code: str) -> dict[str, Any]:
        self.answers.append(await self.auth.verify_otp(temporary, code))
        return dict(self.answers[-1].json())

    async def forget_password(self, email: str) -> str:
        """Returns the token of the reset."""
        self.answers.append(await self.users.http.post(f"{USERS}/password-reset", json={"email": email}))
        return str(self.answers[-1].json()["reset_token"])

    async def reset(self, token: str, code: str, password: str) -> None:
        body = {"reset_token": token, "code": code, "password": password}
        self.answers.append(await self.users.http.post(f"{USERS}/password-reset/confirm", json=body))

    def subjects(self, email: str) -> list[str]:
        return [str(mail.message["Subject"]) for mail in self.mails.mails_to(email)]

    async def events(self) -> bytes:
        """The bodies and headers of all events that have been on the exchange."""
        said = []
        while (message := await self.overheard.get(no_ack=True, fail=False)) is not None:
            said.append(message.body + repr(message.info()).encode())
        return b"\n".join(said)


@pytest.fixture
async def world(
    broker: OwnBroker, databases: Databases, keys: Keys, jwks_url: str, mail_sink: MailSink, log: io.StringIO
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        traces = await stack.enter_async_context(everything_traced())
        bus = AmqpBus(broker.url)
        stack.push_async_callback(bus.close)
        settings = notifier_settings(keys, smtp_port=mail_sink.port)
        running = await stack.enter_async_context(notifier.running(settings, bus))
        of_users = users_settings(databases, keys, jwks_url, password_resets_per_hour=10)
        auth = await stack.enter_async_context(running_auth(auth_settings(databases, keys), bus))
        users = await stack.enter_async_context(running_users(of_users, keys, bus))
        for check in (*running.checks.values(), *auth.checks.values()):
            await eventually(check, PATIENCE)
        channel = await (await stack.enter_async_context(await aio_pika.connect(broker.url))).channel()
        overheard = await channel.declare_queue(exclusive=True)
        for exchange in EVENTS_EXCHANGES:
            await overheard.bind(exchange, "#")
        yield World(auth, users, mail_sink, overheard, log, broker.url, traces)


async def everything_happens(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Success, failure, retry, dead letter, expiry; returns the address of somebody to whom it did."""
    form = registration(password=PASSWORD, is_2fa=True)
    email, username = form["email"], form["username"]
    world.answers.append(await world.users.http.post(f"{USERS}/registration", json=form))

    first = (await password_accepted(world.auth, username, PASSWORD)).json()["temporary_token"]
    await world.mails.wait_for(email, 1, PATIENCE)
    await world.log_in(username, WRONG_PASSWORD)
    await world.verify(first, MISTYPED)
    await world.verify(first, f"{MISTYPED}.")
    access = (await world.verify(first, CODES[0]))["access_token"]

    world.mails.refuse(f"450 4.7.1 Try later with {CODES[1]}", at="DATA", times=1)
    await world.log_in(username)
    await world.mails.wait_for(email, 2, PATIENCE)

    world.mails.refuse(f"550 5.7.1 No {CODES[2]}", at="DATA", times=1)
    await world.log_in(username)
    await eventually(lambda: _letters(world.url), PATIENCE)

    passed = datetime.now(UTC) + timedelta(hours=1)
    with monkeypatch.context() as later:
        later.setattr(DatabaseTime, "now", lambda _: passed)
        before = _expired()
        await world.log_in(username)
        await eventually(lambda: _expired() > before, PATIENCE)

    body = {"password": NEXT_PASSWORD, "confirm_password": NEXT_PASSWORD, "current_password": WRONG_PASSWORD}
    for each in (body, body | {"current_password": PASSWORD}, body | {"password": NEXT_PASSWORD * 9}):
        headers = bearer(access)
        world.answers.append(await world.users.http.post(f"{USERS}/change-password", headers=headers, json=each))
    await password_accepted(world.auth, username, NEXT_PASSWORD)
    await world.mails.wait_for(email, 4, PATIENCE)  # the notice among them
    assert [answer.status_code for answer in world.answers] == [201, 400, 400, 422, 200, 200, 200, 200, 403, 200, 422]
    return str(email)


async def a_password_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch, email: str) -> None:
    """The same, of the codes that prove an address."""
    begun = len(world.answers)
    token = await world.forget_password(email)
    mailed = await world.mails.account_code_for(email, "reset")
    for code in (MISTYPED_ACCOUNT_CODE, f"{mailed}.", in_halves(mailed).lower()):
        await world.reset(token, code, RESET_PASSWORD)
    await eventually(
        lambda: "[Login2FA] A new password was set" in world.subjects(email), PATIENCE
    )  # else it is refused

    world.mails.refuse(f"450 4.7.1 Try later with {ACCOUNT_CODES[1]}", at="DATA", times=1)
    await world.forget_password(email)
    await world.mails.account_code_for(email, "reset", 2)

    letters = await dead_letters.list(world.url)
    world.mails.refuse(f"550 5.7.1 No {in_halves(ACCOUNT_CODES[2])}", at="DATA", times=1)
    await world.forget_password(email)

    async def another_letter() -> bool:
        return len(await dead_letters.list(world.url)) > len(letters)

    await eventually(another_letter, PATIENCE)

    passed = datetime.now(UTC) + timedelta(hours=1)
    with monkeypatch.context() as later:
        later.setattr(DatabaseTime, "now", lambda _: passed)
        before = _expired("account_codes")
        await world.forget_password(email)
        await eventually(lambda: _expired("account_codes") != before, PATIENCE)
    assert [answer.status_code for answer in world.answers[begun:]] == [202, 400, 422, 204, 202, 202, 202]


async def _letters(url: str) -> bool:
    return bool(await dead_letters.list(url))


def _expired(what: str = "deliveries") -> str:
    """The line of the metric."""
    lines = generate_latest().decode().splitlines()
    return next((line for line in lines if f'login2fa_{what}_total{{outcome="expired"}}' in line), "")


async def test_nothing_but_the_mail_holds_a_password_or_a_code(
    world: World, broker: OwnBroker, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = await everything_happens(world, monkeypatch)
    await a_password_is_forgotten(world, monkeypatch, email)

    account_codes = [*ACCOUNT_CODES, MISTYPED_ACCOUNT_CODE]
    secrets = [PASSWORD, NEXT_PASSWORD, WRONG_PASSWORD, RESET_PASSWORD, *CODES, MISTYPED, *account_codes]
    secrets += [in_halves(code) for code in account_codes]
    username = (await registered(world.users.parts, password=PASSWORD)).username
    of_factors = FactorSecrets(world.auth, (await password_accepted(world.auth, username, PASSWORD)).json())
    world.answers += await of_factors.happen(username, PASSWORD)
    secrets += of_factors.secrets
    listing = await dead_letters.list(world.url)
    events = await world.events()
    places = {
        "log": world.log.getvalue().encode(),
        "metrics": generate_latest(),
        "traces": world.traces(),
        "dead letters": repr(listing).encode(),
        "events": events,
        "database": await dump(databases),
        "broker": broker.stored(),
        "answers": b"\n".join(answer.content + repr(answer.headers).encode() for answer in world.answers),
    }
    assert found(secrets, places) == set()
    # The search sees what is there: the event that carries a sealed code is in the files, and the mail has its code.
    sealed = json.loads(next(each for each in events.splitlines() if b"sealed_code" in each).partition(b"}")[0] + b"}")
    assert sealed["sealed_code"].encode() in places["broker"]
    assert b'"event": "audit"' in places["log"]
    assert b"smtp send" in places["traces"]
    assert found([email, username], {"traces": places["traces"]}) == set()
    assert email.encode() in places["database"]
    mailed = {code for mail in world.mails.mails_to(email) for code in CODES if code in mail.text}
    assert mailed == {CODES[0], CODES[1], CODES[4]}
    assert {mail.account_code for mail in world.mails.mails_to(email) if mail.purpose == "reset"} >= {
        *ACCOUNT_CODES[:2]
    }
    headers = b"\n".join(repr(mail.message.items()).encode() for mail in world.mails.mails_to(email))
    assert found(secrets, {"headers of the mails": headers}) == set()


def _inside_base64(shift: int, secret: str) -> str:
    return base64.b64encode(b"x" * shift + secret.encode() + b"yz").decode()


WRITTEN: list[Callable[[str], str]] = [
    str,
    json.dumps,
    lambda secret: f"a={httpx.QueryParams({'b': secret})}",
    lambda secret: secret.encode().hex(),
    *(partial(_inside_base64, shift) for shift in range(3)),
]


@pytest.mark.parametrize("secret", [PASSWORD, CODES[0]])
@pytest.mark.parametrize("write", WRITTEN)
def test_the_search_finds_a_secret_however_it_is_written(write: Callable[[str], str], secret: str) -> None:
    assert found([secret], {"here": f'{{"a": "b", "c": {write(secret)}, "d": 1}}'.encode()}) == {("here", secret)}
