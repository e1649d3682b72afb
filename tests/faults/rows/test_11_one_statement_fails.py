"""Row 11: one statement fails, by a trigger that raises: the whole transaction rolls back.

I2; no half session, half a password or used-up code either; the answer is "not now" (I6), and who comes again gets in.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_CODES, ACCOUNT_READ_MODEL
from tests.builders import registered, registration
from tests.composed import AUTH, USERS, Keys, UsersApp, bus, jwks_url, running_users, users_app, users_settings
from tests.faults.rows.account_codes import CodesSent, ask_for_reset, confirm_reset, reset_token, resets
from tests.faults.rows.crowd import Crowd, is_as_usual, refusals_shown, session_of
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.recording import Recorder
from tests.servers.databases import Databases, connected

__all__ = ("bus", "jwks_url", "users_app")

DISK_FULL = "53100"
# What fails alone, while all else goes on: a disk, a file, a page, a deadlock, a lock, a statement too slow, somebody's
# own trigger.
REASONS = [DISK_FULL, "58030", "XX001", "40P01", "55P03", "57014", "P0001"]
SECRET = "the row is in the error"

_FAULT = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{secret}: %', NEW USING ERRCODE = '{reason}';
END $$;
CREATE {trigger} ON {table} {when} FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""


@asynccontextmanager
async def failing(
    databases: Databases, statement: str, table: str, *, reason: str = DISK_FULL, at_commit: bool = False
) -> AsyncIterator[None]:
    trigger = f"CONSTRAINT TRIGGER fault AFTER {statement}" if at_commit else f"TRIGGER fault BEFORE {statement}"
    when = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
    async with connected(databases.admin_url) as admin:
        await admin.execute(_FAULT.format(secret=SECRET, reason=reason, trigger=trigger, table=table, when=when))
        try:
            yield
        finally:
            await admin.execute("DROP FUNCTION public.refuse CASCADE")


async def rows(path: CodesPath, *tables: str) -> list[int]:
    return [await path.sql.fetchval(f"SELECT count(*) FROM auth.{table}") for table in tables]


def not_now(answer: httpx.Response) -> None:
    assert not is_as_usual(answer)
    assert SECRET not in answer.text


@pytest.fixture(autouse=True)
def _row_stays_out_of_the_logs(log_lines: Callable[[], list[dict[str, Any]]]) -> Iterator[None]:
    yield
    assert SECRET not in json.dumps(log_lines())


@pytest.fixture
def crowd(path: CodesPath, promises: Promises) -> Crowd:
    return Crowd(path, promises)


async def refused_and_then_mailed_once(path: CodesPath, promises: Promises, refused: httpx.Response) -> None:
    """No trace of the refused login; the next one gets its mail, and nobody else gets one."""
    not_now(refused)
    assert await rows(path, "challenges", "outbox") == [0, 0]
    await path.start_notifier()
    await promises.several(1)
    await promises.kept()
    assert len(path.mails.received) == 1


@pytest.mark.parametrize("at_commit", [False, True], ids=["at once", "at the commit"])
@pytest.mark.parametrize("table", ["challenges", "outbox"])
async def test_a_login_without_its_challenge_or_its_event_has_never_been(
    path: CodesPath, databases: Databases, promises: Promises, table: str, at_commit: bool
) -> None:
    somebody = await path.account()
    shown = refusals_shown(f"{AUTH}/token")
    async with failing(databases, "INSERT", f"auth.{table}", at_commit=at_commit):
        refused = await path.auth.log_in(somebody.username)

    assert refusals_shown(f"{AUTH}/token") == shown + 1
    await refused_and_then_mailed_once(path, promises, refused)


async def test_whatever_made_the_statement_fail_the_login_is_not_now_and_no_bug_of_ours(
    path: CodesPath, databases: Databases, promises: Promises
) -> None:
    somebody = await path.account()
    for reason in REASONS:
        async with failing(databases, "INSERT", "auth.outbox", reason=reason):
            not_now(await path.auth.log_in(somebody.username))

    assert await rows(path, "challenges", "outbox") == [0, 0]
    assert await promises.log_in()


async def test_what_is_a_bug_of_ours_rolls_back_too_and_tells_nobody_what_is_in_the_row(
    path: CodesPath, databases: Databases, promises: Promises
) -> None:
    somebody = await path.account()
    async with failing(databases, "INSERT", "auth.outbox", reason="23514"):  # a constraint
        broken = await path.auth.log_in(somebody.username)

    assert (broken.status_code, broken.json()["code"]) == (500, "internal_error")
    assert SECRET not in broken.text
    assert await rows(path, "challenges", "outbox") == [0, 0]


@pytest.mark.parametrize(
    ("statement", "table"), [("UPDATE", "challenges"), ("INSERT", "sessions"), ("INSERT", "refresh_tokens")]
)
async def test_a_verification_that_fails_begins_no_session_and_leaves_the_code_good(
    path: CodesPath, databases: Databases, crowd: Crowd, statement: str, table: str
) -> None:
    await path.start_notifier()
    (somebody,) = await crowd.challenged(await crowd.accounts(1))
    untouched = "SELECT attempts = 0 AND used_at IS NULL FROM auth.challenges"
    async with failing(databases, statement, f"auth.{table}"):
        not_now(await path.auth.verify_otp(somebody.temporary, somebody.code))

        assert await path.sql.fetchval(untouched)
        assert await rows(path, "sessions", "refresh_tokens") == [0, 0]
    assert await crowd.verify(somebody)
    assert await rows(path, "sessions", "refresh_tokens") == [1, 1]


@pytest.mark.parametrize(
    ("statement", "table"), [("UPDATE", "refresh_tokens"), ("UPDATE", "sessions"), ("INSERT", "refresh_tokens")]
)
async def test_a_refresh_that_fails_leaves_the_token_unused(
    path: CodesPath, databases: Databases, crowd: Crowd, statement: str, table: str
) -> None:
    held = await session_of(path.auth, (await path.account()).account_id)
    async with failing(databases, statement, f"auth.{table}"):
        not_now(await path.auth.refresh(held.refresh))

        assert await path.sql.fetchval("SELECT count(*) FROM auth.refresh_tokens WHERE used_at IS NULL") == 1
    await crowd.refresh(await crowd.refresh(held))


async def test_a_registration_without_its_event_has_never_been(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str
) -> None:
    form = registration()
    async with running_users(users_settings(databases, keys, jwks_url), keys, bus) as users:
        async with failing(databases, "INSERT", "users.outbox"):
            not_now(await users.http.post(f"{USERS}/registration", json=form))

        async with connected(databases.users_url) as sql:
            assert await sql.fetchval("SELECT count(*) FROM users.accounts") == 0
        assert (await users.http.post(f"{USERS}/registration", json=form)).status_code == 201


@pytest.fixture
async def sent(bus: MemoryBus, keys: Keys) -> CodesSent:
    sent = CodesSent(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, sent, concurrency=4)
    await bus.consume(ACCOUNT_READ_MODEL.queue, Recorder(), concurrency=4)  # or the relay waits for auth
    return sent


@pytest.mark.parametrize("at_commit", [False, True], ids=["at once", "at the commit"])
@pytest.mark.parametrize("table", ["codes", "outbox"])
async def test_an_account_code_without_its_row_or_its_event_has_never_been(
    databases: Databases, users_app: UsersApp, sent: CodesSent, table: str, at_commit: bool
) -> None:
    somebody = await registered(users_app.parts)
    async with failing(databases, "INSERT", f"users.{table}", at_commit=at_commit):
        not_now(await ask_for_reset(users_app, somebody.email))

    async with connected(databases.users_url) as sql:
        assert await sql.fetchval("SELECT count(*) FROM users.codes") == 0
    token = await reset_token(users_app, somebody.email)
    await resets(users_app, token, await sent.the_only_one())


@pytest.mark.parametrize(("statement", "table"), [("UPDATE", "codes"), ("UPDATE", "accounts"), ("INSERT", "outbox")])
async def test_a_new_password_that_fails_changes_nothing_and_leaves_the_code_good(
    databases: Databases, users_app: UsersApp, sent: CodesSent, statement: str, table: str
) -> None:
    somebody = await registered(users_app.parts)
    token = await reset_token(users_app, somebody.email)
    code = await sent.the_only_one()
    async with connected(databases.users_url) as sql:
        account = "SELECT accounts FROM users.accounts"
        before = await sql.fetchval(account)
        async with failing(databases, statement, f"users.{table}"):
            not_now(await confirm_reset(users_app, token, code))

        assert await sql.fetchval("SELECT attempts = 0 AND used_at IS NULL FROM users.codes")
        assert await sql.fetchval(account) == before
    await resets(users_app, token, code)
