"""S26: while two signing keys overlap both verify, afterwards the old one does not; nobody notices but by the `kid`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from typer.testing import CliRunner, Result

from services.auth.tokens import keys as key_files
from services.auth.tokens.keys import generate
from services.cli import app as command_line
from shared.messaging.memory import MemoryBus
from shared.web.process import listen, serving
from tests.auth_steps import Pair, pair
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    running_auth,
    running_users,
    users_settings,
)
from tests.forging import Signer
from tests.polling import eventually
from tests.security.doors import ACCESS, Doors
from tests.security.somebody import password_accepted, register
from tests.servers.databases import Databases

WALKERS = 4
# Nobody may be saved by asking early: the key has to be known before its first token comes.
NEVER_EARLY = 3600


class Served:
    """An application, and how often its public keys were asked for."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += scope.get("path") == "/.well-known/jwks.json"
        await self._app(scope, receive, send)


@pytest.fixture
def keys(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """A folder of its own, which rings read again several times a second."""
    monkeypatch.setattr(key_files, "_RELOAD_AFTER", 0.1)
    generate(tmp_path / "jwt", signs_from=datetime.now(UTC) - timedelta(days=1))
    return replace(keys, folder=tmp_path / "jwt")


@pytest.fixture
async def one(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys), bus) as app:
        yield app


@pytest.fixture
async def other(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys), bus) as app:
        yield app


@pytest.fixture
def served(one: AuthApp) -> Served:
    return Served(one.app)


@pytest.fixture
async def users(databases: Databases, keys: Keys, bus: MemoryBus, served: Served) -> AsyncIterator[UsersApp]:
    """Asks one of the two for the public keys, at a real address."""
    bound = listen("127.0.0.1", 0, hint="")
    url = f"http://127.0.0.1:{bound.getsockname()[1]}/.well-known/jwks.json"
    async with (
        serving(served, bound, grace=1),
        running_users(users_settings(databases, keys, url), keys, bus) as app,
    ):
        await eventually(lambda: app.parts.keys._keys)
        app.parts.keys._early_interval = NEVER_EARLY
        yield app


@pytest.fixture
def person(users: UsersApp, one: AuthApp) -> Callable[[], Awaitable[str]]:
    """Makes somebody whom auth knows, and gives their username."""

    async def make() -> str:
        username: str = (await register(users))["username"]
        await password_accepted(one, username)
        return username

    return make


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def rotate(keys: Keys, *options: str) -> Result:
    """As an operator does it."""
    command = ["keys", "rotate", "--dir", str(keys.folder), *options]
    return await asyncio.to_thread(CliRunner().invoke, command_line, command)


async def statuses(everywhere: list[Doors], tokens: Pair) -> set[int]:
    return {status for doors in everywhere for status in await doors.ask(ACCESS, tokens.access)}


async def signs_anew(auth: AuthApp, old: str) -> bool:
    return auth.parts.tokens.keys.signing_key().kid != old


async def test_both_keys_verify_while_they_overlap_and_the_old_one_fails_after_it(
    one: AuthApp, other: AuthApp, users: UsersApp, keys: Keys, person: Callable[[], Awaitable[str]]
) -> None:
    username = await person()
    before = pair(await one.log_in(username))
    everywhere = [Doors(one, users), Doors(other, users)]

    generate(keys.folder)
    await eventually(lambda: signs_anew(one, kid(before.access)))
    await eventually(lambda: signs_anew(other, kid(before.access)))
    await users.parts.keys._fetch()
    after = pair(await other.log_in(username))
    assert kid(after.access) == kid(after.refresh) != kid(before.access)
    for tokens in (before, after):
        assert 401 not in await statuses(everywhere, tokens)
    assert kid(pair(await other.refresh(before.refresh)).access) == kid(after.access)

    assert "removed: " in (await rotate(keys, "--keep", "0")).stdout
    await eventually(lambda: one.parts.tokens.keys.find(kid(before.access)) is None)
    await eventually(lambda: other.parts.tokens.keys.find(kid(before.access)) is None)
    await users.parts.keys._fetch()
    assert await statuses(everywhere, before) == {401}
    assert 401 not in await statuses(everywhere, after)


async def test_made_up_key_ids_make_users_ask_for_the_keys_once(
    users: UsersApp, served: Served, person: Callable[[], Awaitable[str]], one: AuthApp
) -> None:
    genuine = pair(await one.log_in(await person())).access
    claims = jwt.decode(genuine, options={"verify_signature": False})
    users.parts.keys._fetched_at -= NEVER_EARLY  # long ago: it may ask once
    asked = served.asked

    forged = [Signer(f"made-up-{number}").token(claims) for number in range(50)]
    answers = await asyncio.gather(*(users.http.get(f"{USERS}/me", headers=bearer(token)) for token in forged))

    answers += [await users.http.get(f"{USERS}/me", headers=bearer(token)) for token in forged[:5]]

    assert Counter(answer.status_code for answer in answers) == {401: 55}
    assert served.asked == asked + 1
    assert (await users.http.get(f"{USERS}/me", headers=bearer(genuine))).status_code == 200


# --- under load


class Walkers:
    """People who log in, ask, refresh and ask again, at either replica, for as long as they are let."""

    def __init__(self, one: AuthApp, other: AuthApp, users: UsersApp) -> None:
        self._replicas = (one, other)
        self._users = users.http
        self._stopped = False
        self.failures: list[str] = []
        self.rounds = 0
        self.signed_by: Counter[str] = Counter()

    async def walk(self, username: str) -> None:
        while not self._stopped:
            for here, there in (self._replicas, self._replicas[::-1]):
                first = await self._pair(await here.log_in(username))
                await self._used(first, there)
                second = await self._pair(await there.refresh(first.refresh))
                await self._used(second, here)
            self.rounds += 1

    def stop(self) -> None:
        self._stopped = True

    async def _pair(self, answer: httpx.Response) -> Pair:
        self._note(answer, 200)
        tokens = pair(answer)
        self.signed_by[kid(tokens.access)] += 1
        return tokens

    async def _used(self, tokens: Pair, auth: AuthApp) -> None:
        headers = bearer(tokens.access)
        self._note(await auth.http.post(f"{AUTH}/verify-token", headers=headers), 200)
        self._note(await auth.http.get(f"{AUTH}/forward", headers=headers), 204)
        self._note(await self._users.get(f"{USERS}/me", headers=headers), 200)

    def _note(self, answer: httpx.Response, expected: int) -> None:
        if answer.status_code != expected:
            self.failures.append(f"{answer.request.method} {answer.request.url.path} {answer.status_code}")


async def turned(walkers: Walkers, rounds: int) -> None:
    """So many rounds have been begun and ended since."""
    goal = walkers.rounds + rounds + WALKERS
    await eventually(lambda: walkers.rounds >= goal or walkers.failures, 60)


async def test_a_rotation_under_load_is_seen_by_nobody(
    one: AuthApp, other: AuthApp, users: UsersApp, keys: Keys, person: Callable[[], Awaitable[str]]
) -> None:
    # As in production, only faster: the folder is read every 0.1 s, the keys are fetched every 0.2 s, and the lead is
    # ten times their sum.
    asking = asyncio.create_task(fetch_often(users))
    walkers = Walkers(one, other, users)
    walking = [asyncio.create_task(walkers.walk(await person())) for _ in range(WALKERS)]
    await turned(walkers, 1)
    (old,) = walkers.signed_by

    made = await rotate(keys, "--lead", "3")
    await eventually(lambda: len(walkers.signed_by) == 2 or walkers.failures, 60)
    await turned(walkers, WALKERS)
    (new,) = walkers.signed_by.keys() - {old}
    retired = await rotate(keys, "--keep", "0")  # nobody holds a token of the old key any more
    await eventually(lambda: one.parts.tokens.keys.find(old) is None)
    await turned(walkers, WALKERS)

    walkers.stop()
    await asyncio.gather(*walking)
    asking.cancel()
    assert walkers.failures == []
    assert "written: " in made.stdout
    assert "removed: " in retired.stdout
    assert min(walkers.signed_by[old], walkers.signed_by[new]) > WALKERS


async def fetch_often(users: UsersApp) -> None:
    while True:
        await users.parts.keys._fetch()
        await asyncio.sleep(0.2)
