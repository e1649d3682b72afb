"""A failing login looks again until a deadline: docs/decisions/0005-looking-again.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from sqlalchemy import event

from services.auth.api.guards import Auth
from shared.messaging.memory import MemoryBus
from shared.observability.correlation import correlation_id
from tests.auth_steps import Accounts, Steps, pair
from tests.builders import OTHER_PASSWORD, PASSWORD, account_changed, full_width, tombstone
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.servers.databases import Databases

Happening = Callable[[], Awaitable[object]]


class Watched:
    """Counts verifications, and lets something happen exactly while a failing login waits."""

    def __init__(self, parts: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
        self.verifications = 0
        self.waits: list[float] = []
        self.meanwhile: Happening | None = None
        self.connections_held: list[int] = []
        self._holders: dict[int, str] = {}  # of each connection that is taken, the request
        engine = parts.database._engine.sync_engine
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)
        verify = parts.passwords.verify

        async def counted(password: str, stored: str | None, *holders: Any) -> bool:
            self.verifications += 1
            self._look()
            return await verify(password, stored, *holders)

        async def waited(seconds: float) -> None:
            self.waits.append(seconds)
            self._look()
            if self.meanwhile is not None:
                await self.meanwhile()

        monkeypatch.setattr(parts.passwords, "verify", counted)
        clock = SimpleNamespace(sleep=waited, get_running_loop=asyncio.get_running_loop)
        monkeypatch.setattr("services.auth.login.password.asyncio", clock)

    def _look(self) -> None:
        self.connections_held.append([*self._holders.values()].count(correlation_id.get()))

    def _taken(self, _connection: Any, record: Any, _proxy: Any) -> None:
        self._holders[id(record)] = correlation_id.get()

    def _given_back(self, _connection: Any, record: Any) -> None:
        self._holders.pop(id(record), None)


@pytest.fixture
def watched(auth_app: AuthApp, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(auth_app.parts, monkeypatch)


def subject(access: str) -> str:
    return str(jwt.decode(access, options={"verify_signature": False})["sub"])


async def test_a_login_gets_in_when_its_account_arrives_while_it_waits(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = account_changed(accounts.sealer)
    watched.meanwhile = lambda: accounts.tell(account)

    answer = await auth_app.log_in(account.username)

    assert subject(pair(answer).access) == str(account.account_id)
    assert watched.verifications == 2


async def test_a_login_gets_in_as_soon_as_its_account_has_arrived_long_before_the_deadline(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_auth(auth_settings(databases, keys, login_failure_deadline=5), bus) as auth_app:
        watched, account = Watched(auth_app.parts, monkeypatch), account_changed(accounts.sealer)

        async def at_the_third_look() -> None:
            if len(watched.waits) == 3:
                await accounts.tell(account)

        watched.meanwhile = at_the_third_look
        pair(await auth_app.log_in(account.username))

    assert (watched.verifications, watched.waits) == (2, [0.05] * 3)


async def test_a_login_gets_in_when_its_password_changes_while_it_waits(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()
    watched.meanwhile = lambda: accounts.end_sessions(account, password=OTHER_PASSWORD)

    answer = await auth_app.log_in(account.username, OTHER_PASSWORD)

    pair(answer)
    assert watched.verifications == 2


async def test_a_session_begun_after_the_wait_is_of_the_new_epoch(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()
    watched.meanwhile = lambda: accounts.end_sessions(account, password=OTHER_PASSWORD)

    access = pair(await auth_app.log_in(account.username, OTHER_PASSWORD)).access

    assert await auth_app.verify_token(access) == 200


async def test_a_wrong_password_is_verified_once_when_the_account_did_not_move(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()

    answer = await auth_app.log_in(account.username, OTHER_PASSWORD)

    assert answer.status_code == 400
    assert (watched.verifications, len(watched.waits)) == (1, 1)


async def test_an_unknown_name_costs_one_verification_and_one_wait_like_a_wrong_password(
    auth_app: AuthApp, watched: Watched
) -> None:
    answer = await auth_app.log_in("nobody")

    assert answer.status_code == 400
    assert (watched.verifications, len(watched.waits)) == (1, 1)


async def test_an_account_that_moved_does_not_excuse_a_wrong_password(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()
    watched.meanwhile = lambda: accounts.change(account)

    answer = await auth_app.log_in(account.username, OTHER_PASSWORD)

    assert answer.status_code == 400
    assert watched.verifications == 2


async def test_a_right_password_is_answered_without_a_wait(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()

    pair(await auth_app.log_in(account.username))

    assert (watched.verifications, watched.waits) == (1, [])


async def test_no_database_connection_is_held_while_a_login_hashes_or_waits(
    auth_app: AuthApp, accounts: Accounts, watched: Watched
) -> None:
    account = await accounts.new()
    watched.meanwhile = lambda: accounts.change(account)

    await auth_app.log_in(account.username, OTHER_PASSWORD)

    assert watched.connections_held == [0, 0, 0]  # at two verifications and one wait


async def test_every_reason_to_refuse_has_the_same_answer(auth_app: AuthApp, accounts: Accounts) -> None:
    known, inactive, deleted = await accounts.new(), await accounts.new(is_active=False), await accounts.new()
    await accounts.delete(deleted)

    answers = [
        await auth_app.log_in("nobody"),
        await auth_app.log_in(known.username, OTHER_PASSWORD),
        await auth_app.log_in(inactive.username),
        await auth_app.log_in(deleted.username),
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["detail"] == "Incorrect username or password"
    assert answers[0].json()["error"] == "invalid_grant"
    headers = [{k: v for k, v in answer.headers.items() if k != "x-request-id"} for answer in answers]
    assert all(each == headers[0] for each in headers)


async def test_an_account_that_is_active_again_may_log_in(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    account = await accounts.new(is_active=False)
    assert (await auth_app.log_in(account.username)).status_code == 400

    await accounts.change(account, is_active=True)

    await steps.log_in(account)


async def test_a_name_that_is_used_again_belongs_to_its_new_owner(auth_app: AuthApp, accounts: Accounts) -> None:
    old = await accounts.new(username="dave")
    await accounts.delete(old)
    new = await accounts.new(username="dave", password=OTHER_PASSWORD)

    assert subject(pair(await auth_app.log_in("dave", OTHER_PASSWORD)).access) == str(new.account_id)
    assert (await auth_app.log_in("dave", PASSWORD)).status_code == 400


async def test_the_new_owner_gets_in_even_before_the_old_owners_deletion_has_arrived(
    auth_app: AuthApp, accounts: Accounts
) -> None:
    old = await accounts.new(username="dave")
    new = await accounts.new(username="dave", password=OTHER_PASSWORD)

    assert subject(pair(await auth_app.log_in("dave", OTHER_PASSWORD)).access) == str(new.account_id)

    await accounts.tell(tombstone(old.account_id, old.version + 1))
    pair(await auth_app.log_in("dave", OTHER_PASSWORD))


async def test_a_name_is_found_however_it_is_written(auth_app: AuthApp, accounts: Accounts) -> None:
    await accounts.new(username="Dave.Gahan@Example.org")

    name = "dave.gahan@example.org"
    for written in (name, name.upper(), full_width(name), f" {name} "):
        pair(await auth_app.log_in(written))


async def test_with_2fa_on_the_answer_holds_no_access_token(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)

    answer = await auth_app.log_in(account.username)

    body = answer.json()
    assert set(body) == {"temporary_token", "token_type", "expires_in", "otp_required"}
    assert (body["otp_required"], body["expires_in"], body["token_type"]) == (True, 240, "bearer")
    assert answer.headers["cache-control"] == "no-store"
