"""Back-pressure: nobody is promised a code that will not come, and nobody can use that to shut others out.

The database's clock stands still and moves when a test says so; the notifier is the test, or `silent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.auth import pressure
from shared.broker.memory import MemoryBus
from shared.events import AccountChanged
from tests.auth_steps import Accounts, Steps
from tests.code_reports import CodeReports
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.fakes import HeldBus
from tests.polling import eventually
from tests.servers.databases import Databases

ON, OFF, ACCOUNTS, PROBE = 60, 20, 3, 10


@pytest.fixture
def bus() -> HeldBus:
    return HeldBus()


@pytest.fixture(autouse=True)
def verdicts_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "_VERDICT_HOLDS", 0)


@dataclass(frozen=True)
class World:
    auth: AuthApp
    accounts: Accounts
    reports: CodeReports
    steps: Steps
    clock: DatabaseClock
    bus: HeldBus

    async def login(self, account: AccountChanged) -> httpx.Response:
        return await self.auth.log_in(account.username)

    async def new(self, count: int = 1) -> list[AccountChanged]:
        return [await self.accounts.new(is_2fa=True) for _ in range(count)]

    async def somebody_logs_in(self) -> httpx.Response:
        (account,) = await self.new()
        return await self.login(account)

    async def reports_are_known(self) -> None:
        """A notifier of this version has been there."""
        (account,) = await self.new()
        await self.steps.begin(account)
        await self.reports.tell(account, "delivered")
        await self.clock.forward(1)

    async def wait_in_vain(
        self, count: int = ACCOUNTS, *, outcome: str = "", of_mailbox: bool = False
    ) -> list[AccountChanged]:
        """So many accounts wait for a code, so long that it turns on if it ever does."""
        waiting = await self.new(count)
        for account in waiting:
            await self.steps.begin(account)
            if outcome:
                await self.reports.tell(account, outcome, of_mailbox=of_mailbox)
        await self.clock.forward(ON)
        return waiting

    async def is_on(self) -> bool:
        await self.auth.parts.pressure.look()
        return REGISTRY.get_sample_value("login2fa_otp_pressure") == 1

    async def no_probe_is_due(self) -> None:
        """The next login would be let through to try: let somebody else be that."""
        assert (await self.somebody_logs_in()).status_code == 200


@pytest.fixture
async def world(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, reports: CodeReports, steps: Steps, bus: HeldBus
) -> World:
    return World(auth_app, accounts, reports, steps, clock, bus)


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "temporarily_unavailable"
    assert answer.headers["retry-after"] == str(PROBE)
    assert "temporary_token" not in answer.text
    return True


# --- off, on, off


async def test_a_notifier_that_is_away_with_a_backlog(world: World) -> None:
    await world.reports_are_known()
    waiting = await world.new(ACCOUNTS)
    for account in waiting:
        await world.steps.begin(account)
    await world.clock.forward(ON - 1)
    assert not await world.is_on()
    await world.clock.forward(1)
    assert await world.is_on()
    await world.no_probe_is_due()
    assert refused(await world.somebody_logs_in())

    for account in waiting:  # it is back, and works off what was waiting
        await world.reports.tell(account, "delivered")
        await world.clock.forward(OFF)

    assert not await world.is_on()
    assert (await world.somebody_logs_in()).status_code == 200


@pytest.mark.parametrize("outcome", ["deferred", "given_up", "expired"])
async def test_a_mail_server_that_refuses_everybody(world: World, outcome: str) -> None:
    await world.reports_are_known()
    waiting = await world.wait_in_vain(outcome=outcome)
    assert await world.is_on()
    await world.no_probe_is_due()
    assert refused(await world.somebody_logs_in())

    await world.reports.tell(waiting[-1], "delivered")

    assert not await world.is_on()


async def test_a_broker_that_is_away(world: World) -> None:
    world.bus.held.add("auth.otp_requested.v1")
    assert (await world.somebody_logs_in()).status_code == 200  # one waiting event is enough, if it waits so long
    await world.clock.forward(ON - 1)
    assert not await world.is_on()
    await world.clock.forward(1)
    assert await world.is_on()
    await world.no_probe_is_due()
    assert refused(await world.somebody_logs_in())

    world.bus.held.clear()

    await eventually(lambda: _is_off(world))
    assert (await world.somebody_logs_in()).status_code == 200


async def _is_off(world: World) -> bool:
    return not await world.is_on()


async def test_it_turns_off_at_a_lower_age_than_on(world: World) -> None:
    """Else it would go on and off with every mail of a slow server."""
    await world.reports_are_known()
    waiting: list[AccountChanged] = []
    for _ in range(2 * ACCOUNTS):  # one every 10 s, and each waits
        waiting += await world.new()
        await world.steps.begin(waiting[-1])
        await world.clock.forward(10)
    await world.clock.forward(20)
    assert await world.is_on()  # the third has been waiting for 60 s

    await world.reports.tell(waiting[2], "delivered")
    assert await world.is_on()  # of those who asked later, the third has been waiting for 30 s
    await world.reports.tell(waiting[3], "delivered")
    assert not await world.is_on()  # two are left

    for account in await world.new(ACCOUNTS):
        await world.steps.begin(account)
    await world.clock.forward(30)
    assert not await world.is_on()  # the same 30 s do not turn it on


async def test_deliveries_that_lag_behind_further_and_further(world: World) -> None:
    """Each code is delivered in the end, and too late."""
    await world.reports_are_known()
    waiting: list[AccountChanged] = []
    delivered = 0
    while not await world.is_on():
        waiting += await world.new()
        await world.steps.begin(waiting[-1])
        await world.clock.forward(10)
        if len(waiting) % 2 == 0:  # half of what is asked for
            await world.reports.tell(waiting[delivered], "delivered")
            delivered += 1

    lag = 10 * (len(waiting) - delivered)
    assert ON <= lag <= ON + 10 * (ACCOUNTS + 1)
    assert delivered > ACCOUNTS


# --- who is refused


async def test_logins_without_a_second_factor_go_on(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    await world.no_probe_is_due()

    answer = await world.login(await world.accounts.new(is_2fa=False))

    assert answer.status_code == 200
    assert "access_token" in answer.json()


async def test_who_does_not_know_the_password_learns_nothing_of_it(world: World) -> None:
    """Nor who has a second factor."""
    await world.reports_are_known()
    await world.wait_in_vain()
    await world.no_probe_is_due()
    with_it, without = await world.accounts.new(is_2fa=True), await world.accounts.new(is_2fa=False)

    answers = [
        await world.auth.log_in(username, "wrong") for username in (with_it.username, without.username, "nobody")
    ]

    assert {(answer.status_code, answer.text) for answer in answers} == {(400, answers[0].text)}


async def test_a_refused_login_leaves_nothing_behind(world: World, sql: asyncpg.Connection) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    await world.no_probe_is_due()
    before = await sql.fetchval("SELECT count(*) FROM challenges")

    assert refused(await world.somebody_logs_in())

    assert await sql.fetchval("SELECT count(*) FROM challenges") == before


async def test_a_resend_is_refused_likewise_and_the_challenge_lives_on(world: World) -> None:
    await world.reports_are_known()
    (account,) = await world.new()
    login = await world.steps.begin(account)
    await world.wait_in_vain()
    await world.no_probe_is_due()

    assert refused(await world.auth.resend_otp(login.temporary))

    told = (await world.auth.challenge(login.temporary)).json()
    assert (told["status"], told["resends_left"]) == ("pending", 3)
    assert (await world.auth.verify_otp(login.temporary, login.code)).status_code == 200


async def test_a_resend_that_would_be_refused_anyhow_is_refused_for_that(world: World) -> None:
    await world.reports_are_known()
    used, early = await world.new(2)
    over = await world.steps.begin(used)
    assert (await world.auth.verify_otp(over.temporary, over.code)).status_code == 200
    await world.wait_in_vain()
    probe = await world.steps.begin(early)

    assert (await world.auth.resend_otp(over.temporary)).status_code == 401
    assert (await world.auth.resend_otp(probe.temporary)).status_code == 429


# --- the trickle


async def test_while_it_is_on_one_login_every_ten_seconds_is_let_through(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    answers = []
    for _ in range(8):
        answers.append((await world.somebody_logs_in()).status_code)
        await world.clock.forward(PROBE / 2)

    assert answers == [200, 503] * 4


async def test_of_many_logins_at_once_one_is_let_through(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    people = await world.new(10)

    answers = await asyncio.gather(*(world.login(account) for account in people))

    assert sorted(answer.status_code for answer in answers) == [200] + [503] * 9


async def test_a_probe_that_is_delivered_turns_it_off(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain(outcome="given_up")  # none of these will ever be delivered
    (account,) = await world.new()
    await world.steps.begin(account)
    assert await world.is_on()

    await world.reports.tell(account, "delivered")

    assert not await world.is_on()


async def test_a_probe_whose_code_is_used_turns_it_off_without_a_report(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    (account,) = await world.new()
    login = await world.steps.begin(account)

    assert (await world.auth.verify_otp(login.temporary, login.code)).status_code == 200

    assert not await world.is_on()


async def test_who_is_waiting_does_not_use_up_the_probes(world: World) -> None:
    """Else who has a mailbox that takes no mail could keep all others out."""
    await world.reports_are_known()
    waiting = await world.wait_in_vain(outcome="deferred")

    assert [refused(await world.login(account)) for account in waiting] == [True] * ACCOUNTS
    for account in await world.new(30):  # others keep it on
        await world.login(account)
        await world.clock.forward(PROBE)
    assert await world.is_on()
    assert [refused(await world.login(account)) for account in waiting] == [True] * ACCOUNTS

    assert (await world.somebody_logs_in()).status_code == 200


async def test_a_login_that_is_refused_for_another_reason_does_not_use_up_the_probe(world: World) -> None:
    await world.reports_are_known()
    (greedy,) = await world.new()
    for number in range(1, 21):
        await world.steps.begin(greedy)
        await world.reports.tell(greedy, "delivered", code=number)
    await world.clock.forward(1)
    await world.wait_in_vain()

    assert (await world.login(greedy)).status_code == 429

    assert (await world.somebody_logs_in()).status_code == 200


async def test_without_logins_it_does_not_stay_on_for_ever(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain(outcome="given_up")
    assert await world.is_on()

    await world.clock.forward(240)

    assert not await world.is_on()


# --- what must not turn it on


async def test_one_mailbox_that_always_defers_turns_nothing_on(world: World) -> None:
    await world.reports_are_known()
    (account,) = await world.new()
    for number in range(1, 13):
        await world.steps.begin(account)
        await world.reports.tell(account, "deferred", code=number)
        await world.clock.forward(15)
        assert not await world.is_on()


@pytest.mark.parametrize("outcome", ["deferred", "given_up", "expired"])
async def test_any_number_of_mailboxes_that_the_mail_server_refuses(world: World, outcome: str) -> None:
    """Accounts cost nothing, nor does an address that takes no mail: with three of them anybody shut all others out."""
    await world.reports_are_known()
    await world.wait_in_vain(4 * ACCOUNTS, outcome=outcome, of_mailbox=True)

    assert not await world.is_on()


async def test_a_mailbox_that_was_refused_stays_its_own_trouble_until_its_code_expires(world: World) -> None:
    await world.reports_are_known()
    refusing = await world.wait_in_vain(outcome="deferred", of_mailbox=True)
    for account in refusing:
        await world.reports.tell(account, "expired")

    assert not await world.is_on()


async def test_a_new_code_for_a_mailbox_that_was_refused_counts_again(world: World) -> None:
    await world.reports_are_known()
    waiting = await world.new(ACCOUNTS)
    for account in waiting:
        login = await world.steps.begin(account)
        await world.reports.tell(account, "deferred", of_mailbox=True)
        await world.clock.forward(30)
        assert (await world.auth.resend_otp(login.temporary)).status_code == 202
    await world.clock.forward(ON)

    assert await world.is_on()


async def test_a_quiet_night_with_a_single_code_that_nobody_answers(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain(1)
    for _ in range(4):
        assert not await world.is_on()
        await world.clock.forward(ON)


async def test_mailboxes_that_defer_while_others_are_delivered(world: World) -> None:
    await world.reports_are_known()
    for _ in range(6):
        (account,) = await world.new()
        await world.steps.begin(account)
        await world.reports.tell(account, "deferred")
        await world.clock.forward(10)
        (other,) = await world.new()
        await world.steps.begin(other)
        await world.reports.tell(other, "delivered")
        await world.clock.forward(10)
        assert not await world.is_on()


async def test_lost_reports_while_others_come(world: World) -> None:
    await world.reports_are_known()
    await world.wait_in_vain(10)
    (other,) = await world.new()
    # Their reports are lost, and not their codes: the next one shows it.
    await world.steps.begin(other)
    await world.reports.tell(other, "delivered")

    assert not await world.is_on()


async def test_lost_reports_of_codes_that_are_used(world: World) -> None:
    await world.reports_are_known()
    for _ in range(8):
        (account,) = await world.new()
        login = await world.steps.begin(account)
        assert (await world.auth.verify_otp(login.temporary, login.code)).status_code == 200
        await world.clock.forward(ON / 2)
        assert not await world.is_on()


async def test_a_few_who_wait_long_and_many_who_have_just_asked(world: World) -> None:
    """The age that counts is that of each of three accounts, not of the first."""
    await world.reports_are_known()
    await world.wait_in_vain(ACCOUNTS - 1, outcome="deferred")
    for account in await world.new(10):
        await world.steps.begin(account)

    assert not await world.is_on()


async def test_a_notifier_that_reports_nothing_is_of_an_older_version_and_not_away(world: World) -> None:
    await world.wait_in_vain(10)

    assert not await world.is_on()


async def test_a_notifier_that_has_reported_within_a_week_is_not_of_an_older_version(
    world: World, sql: asyncpg.Connection
) -> None:
    await world.reports_are_known()
    await world.clock.forward(6 * 86400)
    await world.wait_in_vain()
    assert await world.is_on()
    await sql.execute("UPDATE auth.pressure SET since = NULL")

    await world.clock.forward(86400)
    await world.wait_in_vain()

    assert not await world.is_on()


async def test_challenges_of_the_auth_version_before_are_no_evidence(world: World, sql: asyncpg.Connection) -> None:
    await world.reports_are_known()
    await world.wait_in_vain(10)
    await sql.execute("UPDATE challenges SET code_event_id = NULL, waiting_since = NULL")

    assert not await world.is_on()


async def test_an_event_that_alone_can_not_be_published_turns_nothing_on(world: World, sql: asyncpg.Connection) -> None:
    """Others that were asked for later have gone through: the broker is not away."""
    await sql.execute(
        "INSERT INTO outbox (event_id, type, body, correlation_id) VALUES (gen_random_uuid(), 'no.such.v1', '{}', 'c')"
    )
    await world.clock.forward(ON)
    assert await world.is_on()

    (account,) = await world.new()
    login = await world.steps.begin(account)
    assert (await world.auth.verify_otp(login.temporary, login.code)).status_code == 200

    assert not await world.is_on()


# --- several replicas, and trouble


@pytest.fixture
async def other_replica(world: World, databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys), bus) as app:
        yield app


async def test_replicas_agree_and_share_the_trickle(world: World, other_replica: AuthApp) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    people = await world.new(6)

    answers = [await (world.auth, other_replica)[i % 2].log_in(person.username) for i, person in enumerate(people)]

    assert [answer.status_code for answer in answers] == [200] + [503] * 5


async def test_one_line_is_logged_for_each_change_whoever_sees_it(world: World, other_replica: AuthApp) -> None:
    await world.reports_are_known()
    with capture_logs() as lines:
        waiting = await world.wait_in_vain()
        for replica in (world.auth, other_replica) * 3:
            await replica.parts.pressure.look()
        await world.reports.tell(waiting[-1], "delivered")
        for replica in (world.auth, other_replica) * 3:
            await replica.parts.pressure.look()

    said = [(line["log_level"], line["event"]) for line in lines if line["event"].startswith("two-factor logins")]
    assert said == [("error", "two-factor logins are refused"), ("info", "two-factor logins are let in again")]


async def test_it_is_judged_once_a_second_however_many_log_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    original = pressure.Pressure._judge

    async def judge(self: pressure.Pressure, connection: object) -> bool:
        judged.append(self)
        return await original(self, connection)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(pressure.Pressure, "_judge", judge)
    assert (await world.somebody_logs_in()).status_code == 200
    assert judged
    monkeypatch.setattr(pressure, "_VERDICT_HOLDS", 3600)
    judged.clear()

    for _ in range(5):
        assert (await world.somebody_logs_in()).status_code == 200

    assert judged == []


async def test_a_verdict_that_can_not_be_had_stays_as_it_was(world: World, sql: asyncpg.Connection) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    assert await world.is_on()

    await sql.execute("ALTER TABLE auth.pressure RENAME TO elsewhere")
    assert await world.is_on()
    await sql.execute("ALTER TABLE auth.elsewhere RENAME TO pressure")
    await world.no_probe_is_due()

    assert refused(await world.somebody_logs_in())


async def test_it_is_noticed_without_logins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that only logins bring up to date tells nothing once clients have given up."""
    monkeypatch.setattr(pressure, "_LOOK_EVERY", 0.02)
    await world.reports_are_known()
    watch = asyncio.create_task(world.auth.parts.pressure.watch_forever())
    try:
        await world.wait_in_vain()
        await eventually(lambda: REGISTRY.get_sample_value("login2fa_otp_pressure") == 1)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
