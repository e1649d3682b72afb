"""S57: a deletion, a reset and a change of the account reach every factor and device, whatever waits or comes late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair, session_of
from tests.builders import OTHER_PASSWORD, PASSWORD, tombstone
from tests.composed import AUTH, AuthApp, bearer
from tests.factor_steps import App, FactorSteps
from tests.integration.auth.conftest import accounts, clock, factors, sql
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.security.waiting import held
from tests.servers.databases import Databases

__all__ = ("accounts", "clock", "factors", "sql")

TABLES = ("totp", "passkeys", "recovery_codes", "trusted_devices", "factors")
MANY, AT_A_TIME = 50, 10


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Somebody with an app, recovery codes, a passkey and a trusted device; and an administrator."""

    auth: AuthApp
    factors: FactorSteps
    passkeys: PasskeySteps
    accounts: Accounts
    sql: asyncpg.Connection
    account: AccountChanged
    app: App
    owner: Pair
    device: str
    admin: Pair

    async def left(self) -> list[str]:
        """The tables that hold something of an account."""
        counts = {table: f"SELECT count(*) FROM {table}" for table in TABLES}
        return [table for table, query in counts.items() if await self.sql.fetchval(query)]

    async def ask(self, device: str | None = None) -> httpx.Response:
        body = {"username": self.account.username, "password": PASSWORD, "device_token": device}
        return await self.auth.http.post(f"{AUTH}/token", json=body)

    async def log_in(self, device: str | None = None) -> dict[str, object]:
        answer: dict[str, object] = (await self.ask(device)).json()
        return answer

    async def reset(self) -> httpx.Response:
        url = f"{AUTH}/accounts/{self.account.account_id}/factors/reset"
        return await self.auth.http.post(url, headers=bearer(self.admin.access))


@pytest.fixture
async def scene(factors: FactorSteps, auth_app: AuthApp, accounts: Accounts, sql: asyncpg.Connection) -> Scene:
    admin = pair(await auth_app.log_in((await accounts.new(is_admin=True)).username))
    await accounts.in_step()
    account, passkeys = await accounts.new(), PasskeySteps(auth_app)
    app = await factors.app(account)
    owner = await factors.log_in(account, app)
    assert (await passkeys.enrol(owner, SoftwarePasskey(ORIGIN))).status_code == 201
    body = {"otp": await app.next_code(), "remember_device": True}
    device = (await factors.post("verify-totp", await factors.temporary(account), **body)).json()["device_token"]
    return Scene(
        auth=auth_app, factors=factors, passkeys=passkeys, accounts=accounts, sql=sql, account=account, app=app,
        owner=owner, device=device, admin=admin,
    )  # fmt: skip


# --- what ends the factors, and what adds one meanwhile


async def deletion(scene: Scene) -> None:
    await scene.accounts.delete(scene.account)


async def reset(scene: Scene) -> None:
    assert (await scene.reset()).json() == {"second_factor": False}


async def change_of_password(scene: Scene) -> None:
    await scene.accounts.end_sessions(scene.account, password=OTHER_PASSWORD)


async def add_passkey(scene: Scene) -> Callable[[], Awaitable[httpx.Response]]:
    body = await scene.passkeys.answered("factors/passkeys/options", SoftwarePasskey(ORIGIN), scene.owner.access)
    return lambda: scene.factors.post("factors/passkeys", scene.owner.access, **body)


async def confirm_app(scene: Scene) -> Callable[[], Awaitable[httpx.Response]]:
    app = await scene.factors.begin_app(scene.owner)
    code = await app.code()
    return lambda: scene.factors.confirm(app, code)


async def make_recovery_codes(scene: Scene) -> Callable[[], Awaitable[httpx.Response]]:
    return lambda: scene.factors.post("factors/recovery-codes", scene.owner.access)


Adding = Callable[[Scene], Awaitable[Callable[[], Awaitable[httpx.Response]]]]
Ending = Callable[[Scene], Coroutine[Any, Any, None]]

PAIRS: list[tuple[Ending, Adding]] = [
    (reset, add_passkey),
    (reset, confirm_app),
    (reset, make_recovery_codes),
    (deletion, add_passkey),
    (change_of_password, add_passkey),
]


@pytest.mark.parametrize(("end", "add"), PAIRS, ids=lambda each: each.__name__)
async def test_what_waited_for_the_end_of_the_factors_adds_none(
    scene: Scene, databases: Databases, end: Ending, add: Adding
) -> None:
    request, before = await add(scene), await scene.left()
    async with held(databases, "SELECT FROM auth.identities") as wait:
        ending = asyncio.create_task(end(scene))
        await wait(1)
        adding = asyncio.ensure_future(request())
        await wait(2)
    await ending

    problem(await adding, 401, "invalid_token")
    left: dict[Ending, list[str]] = {deletion: [], reset: ["factors"], change_of_password: before}
    assert await scene.left() == left[end]
    assert await scene.sql.fetchval("SELECT count(*) < 2 FROM passkeys")


async def test_of_many_factors_that_are_confirmed_while_their_accounts_are_deleted_none_is_left(
    factors: FactorSteps, auth_app: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    people = [await accounts.new() for _ in range(MANY)]
    apps = [await factors.begin_app(await session_of(auth_app, each)) for each in people]
    # With a code, so that none are made for the first factor: that would take ten hashes for each.
    await sql.execute("INSERT INTO recovery_codes (account_id, number, hash) SELECT id, 1, '' FROM identities")
    code = {app.id: await app.code() for app in apps}

    # Few at a time: each finds a connection in the pool, also on a busy machine.
    for first in range(0, MANY, AT_A_TIME):
        some = slice(first, first + AT_A_TIME)
        confirming = [asyncio.ensure_future(factors.confirm(app, code[app.id])) for app in apps[some]]
        await asyncio.wait(confirming, return_when=asyncio.FIRST_COMPLETED)  # the others are under way
        await asyncio.gather(*(accounts.delete(each) for each in people[some]))
        assert {answer.status_code for answer in await asyncio.gather(*confirming)} <= {200, 401}

    assert await sql.fetchval("SELECT count(*) FROM totp") == await sql.fetchval("SELECT count(*) FROM factors") == 0
    assert await sql.fetchval("SELECT count(*) FROM recovery_codes") == 0


async def test_a_login_that_is_under_way_ends_with_the_factor_that_it_used_and_by_a_device_does_not_begin(
    scene: Scene, databases: Databases
) -> None:
    temporary, code = await scene.factors.temporary(scene.account), await scene.app.next_code()
    async with held(databases, "SELECT FROM auth.totp", "SELECT FROM auth.trusted_devices") as wait:
        by_app = asyncio.ensure_future(scene.factors.post("verify-totp", temporary, otp=code, remember_device=True))
        by_device = asyncio.ensure_future(scene.ask(scene.device))
        await wait(2)
        resetting = asyncio.create_task(reset(scene))
        await wait(3)
    await resetting

    assert await scene.auth.verify_token(pair(await by_app).access) == 401
    assert (await by_device).status_code == 503  # asked again, it finds an account without this device
    assert await scene.left() == ["factors"]


# --- what comes late


async def test_late_and_repeated_events_take_no_factor_from_the_living_and_give_the_deleted_none(scene: Scene) -> None:
    late, everything = scene.accounts.next_state(scene.account), await scene.left()
    await scene.accounts.tell(scene.account)
    assert (await scene.left(), (await scene.log_in(scene.device))["otp_required"]) == (everything, False)

    deleted = tombstone(scene.account.account_id, late.version + 1)
    for event in (deleted, late, deleted, scene.account):
        await scene.accounts.tell(event)
        assert await scene.left() == []
    problem(await scene.factors.post("factors/totp", scene.owner.access), 401, "invalid_token")


@pytest.mark.parametrize("older", ["epoch", "factors_version"])
async def test_a_device_of_an_older_state_does_not_replace_the_second_factor(scene: Scene, older: str) -> None:
    """As one is that was remembered by a login that was under way, after the change had deleted all devices."""
    assert (await scene.log_in(scene.device))["otp_required"] is False

    await scene.sql.execute(f"UPDATE trusted_devices SET {older} = {older} - 1")

    assert (await scene.log_in(scene.device))["otp_required"] is True


async def test_a_challenge_of_older_factors_is_over(scene: Scene) -> None:
    temporary, code = await scene.factors.temporary(scene.account), await scene.app.next_code()
    assert (await scene.factors.post("factors/recovery-codes", scene.owner.access)).status_code == 201
    # As if it had begun a moment later, with the factors from before.
    await scene.sql.execute("UPDATE challenges SET expires_at = created_at + interval '240 s'")

    problem(await scene.factors.post("verify-totp", temporary, otp=code), 400, "otp_not_valid")
    problem(await scene.auth.challenge(temporary), 401, "invalid_token")
