"""The services, composed for a test by the functions that production uses, on throw-away keys and one bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI

from services.auth import app as auth
from services.auth.api.guards import Auth
from services.auth.settings import AuthSettings
from services.auth.tokens.issue import SessionFacts, Tokens
from services.auth.tokens.keys import KeyRing, generate
from services.notifier.settings import NotifierSettings
from services.users import app as users
from services.users.callers import Users
from services.users.settings import UsersSettings
from shared.configuration.settings import HttpSettings, load
from shared.messaging.bus import Bus
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import (
    ACCOUNT_CODES,
    ACCOUNT_FACTORS,
    ENDED_SESSIONS,
    NOTICES,
    OTP_DELIVERY,
    PROVED_ADDRESSES,
)
from shared.sealing import Sealer
from shared.web.process import Check
from tests import builders, edge_keys
from tests.builders import PASSWORD
from tests.fakes import StandInBus
from tests.inbox import Inbox
from tests.servers.databases import Databases
from tests.serving_jwks import serving_jwks

AUTH = "/api/v1/auth"
USERS = "/api/v1/users"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Made for one test run. Of several, with commas, the first makes what is new."""

    folder: Path
    otp_sealing: str
    account_sealing: str
    pepper: str
    mailed_sealing: str = edge_keys.MAILED_SEALING
    mailed_pepper: str = edge_keys.MAILED_PEPPER
    factor_sealing: str = edge_keys.FACTOR_SEALING

    @property
    def otp_sealer(self) -> Sealer:
        return Sealer(self.otp_sealing.split(","))

    @property
    def account_sealer(self) -> Sealer:
        return Sealer(self.account_sealing.split(","))

    @property
    def factor_sealer(self) -> Sealer:
        return Sealer(self.factor_sealing.split(","))

    @property
    def mailed_sealer(self) -> Sealer:
        return Sealer(self.mailed_sealing.split(","))


def auth_settings(databases: Databases, keys: Keys, **overrides: Any) -> AuthSettings:
    return _auth_settings(keys, **{"auth_database_url": databases.auth_url} | overrides)


def _auth_settings(keys: Keys, **overrides: Any) -> AuthSettings:
    values = edge_keys.settings_of("auth") | {
        "rabbitmq_url": "amqp://not-used",
        "jwt_keys_dir": keys.folder,
        "otp_sealing_keys": keys.otp_sealing,
        "account_sealing_keys": keys.account_sealing,
        "factor_sealing_keys": keys.factor_sealing,
        "otp_peppers": keys.pepper,
        "login_failure_deadline": 0.05,
        "flood_rate": 0,  # all clients of a test are one address
        "hash_max_wait": 60.0,  # of which one address has a quarter, on a machine that is busy with other tests
        "notifier_silence": 1e9,  # few tests have a notifier
        "shutdown_grace": 1.0,
    }
    return load(AuthSettings, **values | overrides).model_copy(update=builders.HASH_COSTS)


def users_settings(databases: Databases, keys: Keys, jwks_url: str, **overrides: Any) -> UsersSettings:
    values = edge_keys.settings_of("users") | {
        "rabbitmq_url": "amqp://not-used",
        "users_database_url": databases.users_url,
        "account_sealing_keys": keys.account_sealing,
        "mailed_code_sealing_keys": keys.mailed_sealing,
        "mailed_code_peppers": keys.mailed_pepper,
        "auth_jwks_url": jwks_url,
        "flood_rate": 0,
        "hash_max_wait": 60.0,
        "in_step_every": 3600,  # what a test finds in the outbox is its own
        "shutdown_grace": 1.0,
    }
    return load(UsersSettings, **values | overrides).model_copy(update=builders.HASH_COSTS)


def notifier_settings(keys: Keys, **overrides: Any) -> NotifierSettings:
    values = {
        **edge_keys.settings_of("notifier"),
        "rabbitmq_url": "amqp://not-used",
        "otp_sealing_keys": keys.otp_sealing,
        "mailed_code_sealing_keys": keys.mailed_sealing,
        "smtp_security": "none",
        "mail_from": "login@login2fa.example",
        "shutdown_grace": 1.0,
    }
    return load(NotifierSettings, **values | overrides)


def client(app: FastAPI, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client of `app` that comes from `address`; an unexpected error is an answer, as it is in production."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://login2fa.test")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthApp:
    app: FastAPI
    http: httpx.AsyncClient
    checks: Mapping[str, Check]

    @property
    def parts(self) -> Auth:
        return cast("Auth", self.app.state.auth)

    async def log_in(self, username: str, password: str = PASSWORD, address: str = "127.0.0.1") -> httpx.Response:
        form = {"username": username, "password": password}
        async with client(self.app, address) as elsewhere:
            return await elsewhere.post(f"{AUTH}/token", data=form, headers=self.http.headers)

    async def verify_otp(self, temporary: str, code: str) -> httpx.Response:
        return await self.http.post(f"{AUTH}/verify-otp", headers=bearer(temporary), json={"otp": code})

    async def challenge(self, temporary: str) -> httpx.Response:
        return await self.http.get(f"{AUTH}/challenge", headers=bearer(temporary))

    async def resend_otp(self, temporary: str) -> httpx.Response:
        return await self.http.post(f"{AUTH}/resend-otp", headers=bearer(temporary))

    async def refresh(self, refresh_token: str) -> httpx.Response:
        return await self.http.post(f"{AUTH}/refresh-token", json={"refresh_token": refresh_token})

    async def verify_token(self, access: str) -> int:
        return (await self.http.post(f"{AUTH}/verify-token", headers=bearer(access))).status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersApp:
    app: FastAPI
    http: httpx.AsyncClient
    tokens: Tokens

    @property
    def parts(self) -> Users:
        return cast("Users", self.app.state.users)

    def as_(
        self, account: UUID, *, login_age: float = 0, epoch: int = 0, session: UUID | None = None, amr: str = "pwd"
    ) -> dict[str, str]:
        """Headers of somebody who logged in so many seconds ago, so (`amr`); the access token is as auth makes it."""
        now = datetime.now(UTC)
        facts = SessionFacts(
            id=session or uuid4(),
            account=account,
            epoch=epoch,
            began_at=now - timedelta(seconds=login_age),
            auth_time=now - timedelta(seconds=login_age),
            amr=amr.split(),
            email_verified=True,
            now=now,
        )
        return bearer(self.tokens.access(facts, uuid4()))


@asynccontextmanager
async def running_auth(settings: AuthSettings, bus: Bus) -> AsyncIterator[AuthApp]:
    async with auth.running(settings, bus) as service:
        assert isinstance(service.app, FastAPI)
        async with client(service.app) as http:
            yield AuthApp(app=service.app, http=http, checks=service.checks)


@asynccontextmanager
async def running_users(settings: UsersSettings, keys: Keys, bus: Bus) -> AsyncIterator[UsersApp]:
    tokens = Tokens(
        _auth_settings(keys, auth_database_url="postgresql+asyncpg://auth:unused@127.0.0.1:1/unused"),
        KeyRing(keys.folder),
    )
    async with users.running(settings, bus) as service:
        assert isinstance(service.app, FastAPI)
        async with client(service.app) as http:
            yield UsersApp(app=service.app, http=http, tokens=tokens)


@pytest.fixture
def strong_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cost what they cost in production: for tests of what is stored, and of times."""
    as_shipped = {name: HttpSettings.model_fields[name].default for name in builders.HASH_COSTS}
    monkeypatch.setattr(builders, "HASH_COSTS", as_shipped)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys") / "jwt"
    generate(folder)
    return Keys(
        folder=folder,
        otp_sealing=Fernet.generate_key().decode(),
        account_sealing=Fernet.generate_key().decode(),
        pepper="a pepper of the tests that is long enough",
    )


@pytest.fixture(scope="session")
async def jwks_url(keys: Keys) -> AsyncIterator[str]:
    async with serving_jwks(keys.folder) as url:
        yield url


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = StandInBus()
    await bus.stand_in(NOTICES.queue)
    await bus.stand_in(ENDED_SESSIONS.queue)
    await bus.stand_in(PROVED_ADDRESSES.queue)
    await bus.stand_in(ACCOUNT_FACTORS.queue)
    await bus.stand_in(ACCOUNT_CODES.queue)
    yield bus
    await bus.close()


@pytest.fixture
async def inbox(bus: MemoryBus, keys: Keys) -> Inbox:
    inbox = Inbox(keys.otp_sealer)
    await bus.consume(OTP_DELIVERY.queue, inbox, concurrency=4)
    return inbox


@pytest.fixture
async def auth_app(
    databases: Databases, keys: Keys, bus: MemoryBus, request: pytest.FixtureRequest
) -> AsyncIterator[AuthApp]:
    # Where users makes the accounts, a login has to wait until auth has heard of them.
    deadline = {"login_failure_deadline": 0.5} if "users_app" in request.fixturenames else {}
    async with running_auth(auth_settings(databases, keys, **deadline), bus) as app:
        yield app


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    async with running_users(users_settings(databases, keys, jwks_url), keys, bus) as app:
        yield app
