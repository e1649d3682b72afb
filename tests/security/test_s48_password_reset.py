"""S48: who asks for a new password, or to register with a proved address, learns nothing and locks nobody out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, password_reset, registering
from services.users.codes import Codes, Wanted
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_CODES
from tests.account_codes import AccountCodes
from tests.builders import OTHER_PASSWORD, registered, registration
from tests.composed import USERS, AuthApp, Keys, UsersApp, bearer, client, running_users, users_settings
from tests.inbox import Inbox
from tests.polling import eventually
from tests.security.somebody import password_accepted
from tests.security.timing import Samples, figures, sample, told_apart
from tests.servers.databases import Databases

pytestmark = pytest.mark.usefixtures("strong_hashes")

UNKNOWN, KNOWN, INACTIVE = KINDS = ("unknown", "known", "inactive")
RESET, REGISTRATION = PATHS = ("password-reset", "registration")
OF_EACH = {"x-request-id"}
WRONG = "0000000000"


@pytest.fixture
async def mailed(bus: MemoryBus, keys: Keys) -> AccountCodes:
    mailed = AccountCodes(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, mailed, concurrency=4)
    return mailed


@pytest.fixture
async def proven(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    """With the limits of a client out of the way: all samples come from one."""
    generous = {"password_resets_per_client": 100_000, "registrations_per_client": 100_000}
    settings = users_settings(databases, keys, jwks_url, registration="proven", **generous)
    async with running_users(settings, keys, bus) as app:
        yield app


class Asking:
    """Requests about addresses of each kind, each address once in a sample: no limit tells them apart."""

    def __init__(self, app: UsersApp, path: str) -> None:
        self._app = app
        self._path = path
        self._run = uuid4().hex[:8]
        self._emails: dict[str, list[str]] = defaultdict(list)

    async def make(self, names: int) -> Asking:
        for number in range(names):
            self._emails[UNKNOWN].append(f"nobody-{self._run}-{number:04}@example.org")
            for kind in (KNOWN, INACTIVE):
                row = await registered(self._app.parts, email=f"{kind}-{self._run}-{number:04}@example.org")
                self._emails[kind].append(row.email)
                if kind == INACTIVE:
                    await self._lock(row)
        return self

    async def _lock(self, row: Row[Any]) -> None:
        users = self._app.parts
        async with users.database.transaction() as connection:
            locked = (await accounts.lock(connection, row.id))[row.id]
            await accounts.change(connection, users.sealer, locked, {"is_active": False}, by_session=None)

    async def once(self, kind: str, number: int) -> httpx.Response:
        email = self._emails[kind][number]
        body = {"email": email} if self._path == RESET else registration(email=email)
        return await self._app.http.post(f"{USERS}/{self._path}", json=body)

    async def sample(self, size: int, seed: int) -> Samples:
        async def once(kind: str, number: int) -> None:
            answer = await self.once(kind, number)
            assert answer.status_code == 202, answer.text

        return await sample(KINDS, size, seed, once)


def told(answer: httpx.Response) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
    """All that a client sees, but for the token of its request."""
    body = {name: value for name, value in answer.json().items() if not name.endswith("_token")}
    return answer.status_code, body, [each for each in answer.headers.items() if each[0] not in OF_EACH]


@pytest.mark.parametrize("path", PATHS)
async def test_unknown_known_and_inactive_get_the_same_status_body_and_headers(proven: UsersApp, path: str) -> None:
    asking = await Asking(proven, path).make(1)
    unknown, known, inactive = [told(await asking.once(kind, 0)) for kind in KINDS]
    assert unknown == known == inactive
    assert unknown[0] == 202


@pytest.mark.long
@pytest.mark.parametrize("path", PATHS)
async def test_the_times_of_the_three_can_not_be_told_apart(proven: UsersApp, path: str) -> None:
    """Chance alone gives such a sample once in a hundred: what is seen is measured again, and a leak is seen again."""
    for seed in (1, 2):
        samples = await (await Asking(proven, path).make(300)).sample(300, seed)
        print(figures(samples))
        if not told_apart(samples):
            return
    raise AssertionError(figures(samples))


async def test_a_service_that_answers_at_once_and_does_nothing_for_nobody_is_caught(
    proven: UsersApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Codes.request

    async def only_if_mailed(self: Codes, connection: AsyncConnection, wanted: Wanted, **how: Any) -> Any:
        return await request(self, connection, wanted, **how) if wanted.is_mailed else uuid4()

    monkeypatch.setattr(Codes, "request", only_if_mailed)
    for module in (password_reset, registering):
        monkeypatch.setattr(module, "answered_at_the_deadline", lambda _: AtOnce())
    samples = await (await Asking(proven, RESET).make(60)).sample(60, seed=1)

    assert {pair for pair in told_apart(samples) if KNOWN in pair} == {(INACTIVE, KNOWN), (KNOWN, UNKNOWN)}, figures(
        samples
    )


class AtOnce(nullcontext[None]):
    """In the place of the deadline."""


async def ask(app: UsersApp, email: str, address: str) -> httpx.Response:
    async with client(app.app, address) as http:
        return await http.post(f"{USERS}/password-reset", json={"email": email})


@pytest.mark.parametrize("times", [50, pytest.param(500, marks=pytest.mark.long)])
async def test_however_many_resets_a_stranger_asks_for_are_three_mails_and_the_owner_logs_in_as_before(
    proven: UsersApp, auth_app: AuthApp, mailed: AccountCodes, inbox: Inbox, times: int
) -> None:
    owner = await registered(proven.parts, is_2fa=True)
    with patch.object(password_reset, "answered_at_the_deadline", lambda _: AtOnce()):
        for number in range(times):
            answer = await ask(proven, owner.email, f"198.51.100.{number % 250}")
            assert answer.status_code == 202
    challenge = (await password_accepted(auth_app, owner.username)).json()
    answer = await auth_app.verify_otp(challenge["temporary_token"], await inbox.code_for(owner.email))

    assert answer.status_code == 200
    await mailed.code_for(owner.email, "reset", 3)
    assert len(mailed.sent(owner.email, "reset")) == 3


async def test_a_hundred_wrong_reset_codes_lock_nobodys_login(
    proven: UsersApp, auth_app: AuthApp, inbox: Inbox
) -> None:
    owner = await registered(proven.parts, is_2fa=True)
    tokens = [(await ask(proven, owner.email, "198.51.100.1")).json()["reset_token"] for _ in range(20)]
    bodies = [{"reset_token": token, "code": WRONG, "password": OTHER_PASSWORD} for token in tokens * 5]
    answers = [await proven.http.post(f"{USERS}/password-reset/confirm", json=body) for body in bodies]
    assert Counter(answer.status_code for answer in answers) == {400: 100}

    challenge = (await password_accepted(auth_app, owner.username)).json()
    answer = await auth_app.verify_otp(challenge["temporary_token"], await inbox.code_for(owner.email))
    assert answer.status_code == 200


async def test_a_reset_ends_every_session_within_a_second_at_users_and_at_auth(
    proven: UsersApp, auth_app: AuthApp, mailed: AccountCodes, inbox: Inbox
) -> None:
    owner = await registered(proven.parts, is_2fa=True)
    challenge = (await password_accepted(auth_app, owner.username)).json()
    pair = (await auth_app.verify_otp(challenge["temporary_token"], await inbox.code_for(owner.email))).json()
    token = (await ask(proven, owner.email, "198.51.100.1")).json()["reset_token"]
    body = {
        "reset_token": token,
        "code": await mailed.code_for(owner.email, "reset"),
        "password": OTHER_PASSWORD,
    }

    assert (await proven.http.post(f"{USERS}/password-reset/confirm", json=body)).status_code == 204

    me = await proven.http.get(f"{USERS}/me", headers=bearer(pair["access_token"]))
    assert me.status_code == 401

    async def is_over() -> bool:
        return await auth_app.verify_token(pair["access_token"]) == 401

    await eventually(is_over, timeout=1)
    assert (await auth_app.refresh(pair["refresh_token"])).status_code == 401
    again = await password_accepted(auth_app, owner.username, OTHER_PASSWORD)
    assert again.json()["otp_required"] is True
