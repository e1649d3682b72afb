"""An administrator resets the factors of an account, unlocks it, and lists and ends its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from services.cli import app as command_line
from shared.messaging.events import AccountChanged, Event
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.notice_events import AuthNoticeRequested
from shared.messaging.topology import ACCOUNT_FACTORS, ENDED_SESSIONS, NOTICES
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair, wrong
from tests.builders import OTHER_PASSWORD
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.factor_steps import FactorSteps, claims
from tests.fakes import TroubledBus
from tests.good_settings import GOOD
from tests.integration.audit_trail import Trail, trail
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.databases import Databases

__all__ = ("trail",)

ROUTES = [
    ("POST", "factors/reset"),
    ("POST", "unlock"),
    ("GET", "sessions"),
    ("DELETE", "sessions"),
    ("DELETE", f"sessions/{uuid4()}"),
]


@pytest.fixture
async def bus() -> AsyncIterator[TroubledBus]:
    bus = TroubledBus()
    for each in (NOTICES, ENDED_SESSIONS, ACCOUNT_FACTORS):
        await bus.consume(each.queue, Recorder(), concurrency=4)
    yield bus
    await bus.close()


@pytest.fixture
async def admin(auth_app: AuthApp, accounts: Accounts) -> Pair:
    """Without a second factor."""
    tokens = pair(await auth_app.log_in((await accounts.new(is_admin=True)).username))
    await accounts.in_step()
    return tokens


@pytest.fixture
async def account(auth_app: AuthApp, accounts: Accounts) -> AccountChanged:
    _ = auth_app
    return await accounts.new()


async def ask(auth: AuthApp, tokens: Pair, account: UUID, path: str, method: str = "POST") -> httpx.Response:
    return await auth.http.request(method, f"{AUTH}/accounts/{account}/{path}", headers=bearer(tokens.access))


async def rows(sql: asyncpg.Connection, *tables: str) -> list[int]:
    return [await sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


async def in_turn(auth: AuthApp, tokens: Pair, account: UUID) -> list[httpx.Response]:
    return [await ask(auth, tokens, account, path, method) for method, path in ROUTES]


E = TypeVar("E", bound=Event)


def published(bus: TroubledBus, kind: type[E]) -> list[E]:
    return [kind.from_message(each) for each in bus.attempts if each.routing_key == kind.type]


# --- the factors


@pytest.mark.parametrize("is_2fa", [True, False])
async def test_a_reset_takes_all_factors_but_mailed_codes_and_says_whether_those_are_left(
    factors: FactorSteps, auth_app: AuthApp, accounts: Accounts, account: AccountChanged, sql: asyncpg.Connection,
    bus: TroubledBus, admin: Pair, is_2fa: bool,
) -> None:  # fmt: skip
    app = await factors.app(account)
    account = await accounts.change(account, is_2fa=is_2fa)
    tokens, waiting = await factors.log_in(account, app), await factors.temporary(account)

    answer = await ask(auth_app, admin, account.account_id, "factors/reset")

    assert (answer.status_code, answer.json()) == (200, {"second_factor": is_2fa})
    assert await rows(sql, "totp", "recovery_codes", "trusted_devices") == [0, 0, 0]
    assert await auth_app.verify_token(tokens.access) == await auth_app.verify_token(app.owner.access) == 401
    assert await auth_app.verify_token(admin.access) == 200
    problem(await auth_app.challenge(waiting), 401, "invalid_token")
    (told,) = await eventually(lambda: [each for each in published(bus, AuthNoticeRequested) if "reset" in each.notice])
    assert (told.account_id, told.notice) == (account.account_id, "factors_reset")
    *earlier, last = published(bus, FactorsChanged)
    assert last.methods == ()
    assert last.version > max(each.version for each in earlier)


async def test_after_a_reset_a_new_app_is_the_first_one_again(
    factors: FactorSteps, auth_app: AuthApp, account: AccountChanged, admin: Pair
) -> None:
    await factors.app(account)
    await ask(auth_app, admin, account.account_id, "factors/reset")

    app = await factors.app(account)

    assert len(app.recovery_codes) == 10
    assert pair(await factors.post("verify-totp", await factors.temporary(account), otp=await app.next_code()))


async def test_an_account_that_may_not_log_in_can_be_reset_too(
    factors: FactorSteps, auth_app: AuthApp, accounts: Accounts, account: AccountChanged, sql: asyncpg.Connection,
    admin: Pair,
) -> None:  # fmt: skip
    await factors.app(account)
    account = await accounts.end_sessions(account, is_active=False)

    assert (await ask(auth_app, admin, account.account_id, "factors/reset")).status_code == 200

    assert await rows(sql, "totp", "recovery_codes") == [0, 0]
    await accounts.end_sessions(account, is_active=True)
    assert pair(await auth_app.log_in(account.username))


async def reset_by_operator(databases: Databases, username: str) -> tuple[int, str]:
    environment = GOOD | {"AUTH_DATABASE_URL": databases.auth_url}
    command = ["auth", "reset-factors", "--username", username]
    result = await asyncio.to_thread(CliRunner().invoke, command_line, command, env=environment)
    return result.exit_code, result.output.splitlines()[-1]


async def test_an_operator_resets_by_username(
    factors: FactorSteps, auth_app: AuthApp, account: AccountChanged, databases: Databases
) -> None:
    app = await factors.app(account)

    code, said = await reset_by_operator(databases, account.username.upper())

    assert (code, said.endswith("it has no second factor")) == (0, True)
    assert await auth_app.verify_token(app.owner.access) == 401
    assert pair(await auth_app.log_in(account.username))
    assert await reset_by_operator(databases, "nobody") == (2, "No account has this username")


# --- wrong passwords and codes


async def test_an_account_is_let_in_again(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection, admin: Pair
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    await auth_app.verify_otp(login.temporary, wrong(login.code))
    for _ in range(12):
        await auth_app.log_in(account.username, OTHER_PASSWORD)
    assert (await auth_app.log_in(account.username)).status_code == 429

    assert (await ask(auth_app, admin, account.account_id, "unlock")).status_code == 204

    assert await rows(sql, "code_failures", "login_failures", "name_failures") == [0, 0, 0]
    assert (await auth_app.log_in(account.username)).status_code == 200


# --- sessions


async def test_sessions_of_an_account_are_listed_and_ended_one_by_one_and_together(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged, admin: Pair
) -> None:
    first, second, third = [await steps.log_in(account) for _ in range(3)]
    strangers = await steps.log_in(await accounts.new())

    listed = (await ask(auth_app, admin, account.account_id, "sessions", "GET")).json()
    assert [(each["id"], each["current"]) for each in listed] == [
        (claims(each.access)["sid"], False) for each in (third, second, first)
    ]

    one, not_theirs = claims(second.access)["sid"], claims(strangers.access)["sid"]
    assert (await ask(auth_app, admin, account.account_id, f"sessions/{one}", "DELETE")).status_code == 204
    problem(await ask(auth_app, admin, account.account_id, f"sessions/{not_theirs}", "DELETE"), 404, "item_not_found")
    assert [await auth_app.verify_token(each.access) for each in (first, second, third)] == [200, 401, 200]

    assert (await ask(auth_app, admin, account.account_id, "sessions", "DELETE")).status_code == 204
    ended = [await auth_app.verify_token(each.access) for each in (first, third, strangers, admin)]
    assert ended == [401, 401, 200, 200]


# --- who may


async def test_no_route_finds_an_account_that_auth_does_not_know_or_that_is_deleted(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, admin: Pair
) -> None:
    await accounts.delete(account)

    for unknown in (account.account_id, uuid4()):
        for answer in await in_turn(auth_app, admin, unknown):
            problem(answer, 404, "item_not_found")


async def test_nobody_but_an_administrator_passes(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, steps: Steps
) -> None:
    other = await steps.log_in(await accounts.new())

    for answer in await in_turn(auth_app, other, account.account_id):
        problem(answer, 403, "not_enough_permissions")


async def test_an_administrator_who_has_a_second_factor_must_have_used_it(
    factors: FactorSteps, auth_app: AuthApp, accounts: Accounts, account: AccountChanged
) -> None:
    by_password = await factors.app(person := await accounts.new(is_admin=True))
    await accounts.in_step()

    for answer in await in_turn(auth_app, by_password.owner, account.account_id):
        problem(answer, 403, "second_factor_required")

    by_app = await factors.log_in(person, by_password)
    assert (await ask(auth_app, by_app, account.account_id, "sessions", "GET")).status_code == 200


async def test_where_it_is_demanded_one_without_a_second_factor_passes_nowhere(
    databases: Databases, keys: Keys, bus: TroubledBus, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, require_2fa="admins"), bus) as auth:
        tokens = pair(await auth.log_in((await accounts.new(is_admin=True)).username))
        account = await accounts.new()
        await accounts.in_step()

        for answer in await in_turn(auth, tokens, account.account_id):
            problem(answer, 403, "second_factor_required")


async def test_the_login_must_be_recent(
    databases: Databases, keys: Keys, bus: TroubledBus, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    async with running_auth(auth_settings(databases, keys, recent_login=300), bus) as auth:
        tokens = pair(await auth.log_in((await accounts.new(is_admin=True)).username))
        account = await accounts.new()
        await accounts.in_step()
        await sql.execute("UPDATE refresh_tokens SET auth_time = auth_time - interval '301 seconds'")
        await sql.execute("UPDATE sessions SET auth_time = auth_time - interval '301 seconds'")
        older = pair(await auth.refresh(tokens.refresh))

        for answer in await in_turn(auth, older, account.account_id):
            problem(answer, 403, "login_too_old")


# --- the audit trail


async def test_every_act_and_every_refusal_is_recorded_with_who_it_was(
    auth_app: AuthApp, accounts: Accounts, account: AccountChanged, admin: Pair, trail: Trail, steps: Steps
) -> None:
    stranger = await steps.log_in(await accounts.new())
    session = claims((await steps.log_in(account)).access)["sid"]
    await ask(auth_app, stranger, account.account_id, "factors/reset")
    await ask(auth_app, admin, account.account_id, "sessions", "GET")
    await ask(auth_app, admin, account.account_id, f"sessions/{session}", "DELETE")
    await ask(auth_app, admin, account.account_id, "unlock")
    await ask(auth_app, admin, account.account_id, "factors/reset")

    login, refused, *acts = await trail.becomes(
        str(account.account_id),
        ("login", "ok", None),
        ("factors_reset", "refused", "not_permitted"),
        ("sessions_read", "ok", None),
        ("session_ended", "ok", "administrator"),
        ("account_unlocked", "ok", "administrator"),
        ("factors_reset", "ok", "administrator"),
    )

    def subject(tokens: Pair) -> Any:
        return UUID(claims(tokens.access)["sub"])

    assert (login.actor_id, refused.actor_id) == (account.account_id, subject(stranger))
    assert {each.actor_id for each in acts} == {subject(admin)}
