"""What auth makes of the notifier's reports: whatever their order, and however often they come."""

from __future__ import annotations

import asyncio
import itertools

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.auth.factors.delivery_reports import otp_outcome_handler
from shared.database.pool import Database
from shared.messaging.bus import Done, Retry
from shared.messaging.events import OtpOutcome
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Login, Steps
from tests.builders import delivery, message
from tests.code_reports import CodeReports
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock
from tests.sql_statements import statements_of

COOLDOWN = 30


async def status(auth_app: AuthApp, login: Login) -> str:
    answer = await auth_app.challenge(login.temporary)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


@pytest.mark.parametrize(
    ("word", "expected"),
    [("delivered", "delivered"), ("given_up", "failed"), ("expired", "failed"), ("deferred", "pending")],
)
async def test_a_report_becomes_the_status_of_the_challenge(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, word: str, expected: str
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    assert await status(auth_app, login) == "pending"

    await reports.tell(account, word)

    assert await status(auth_app, login) == expected


@pytest.mark.parametrize("order", list(itertools.permutations(["deferred", "given_up", "delivered"])))
async def test_any_order_with_repeats_ends_at_delivered(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, order: tuple[str, ...]
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await reports.tell(account, *order, *order)

    assert await status(auth_app, login) == "delivered"


@pytest.mark.parametrize("order", list(itertools.permutations(["deferred", "expired", "delivered"])))
async def test_reports_that_come_at_the_same_moment_end_as_one_after_the_other(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, order: tuple[str, ...]
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    handler = otp_outcome_handler(auth_app.parts.database)
    events = [await reports.outcome(account, word) for word in (*order, *order)]

    outcomes = await asyncio.gather(*(handler(delivery(event)) for event in events))

    assert outcomes == [Done()] * 6
    assert await status(auth_app, login) == "delivered"


async def test_reports_that_come_at_the_same_moment_are_each_for_their_own_challenge(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, sql: asyncpg.Connection
) -> None:
    told = []
    for number in range(6):
        account = await accounts.new(is_2fa=True)
        await steps.begin(account)
        told.append(await reports.outcome(account, ("delivered", "given_up")[number % 2]))
    handler = otp_outcome_handler(auth_app.parts.database)

    await asyncio.gather(*(handler(delivery(event)) for event in told))

    rows = await sql.fetch("SELECT code_event_id, code_outcome FROM challenges")
    assert {tuple(row) for row in rows} == {(event.request_event_id, event.outcome) for event in told}


async def test_a_crowd_of_reports_costs_one_statement_and_not_one_each(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports
) -> None:
    account = await accounts.new(is_2fa=True)
    await steps.begin(account)
    database = auth_app.parts.database
    handler = otp_outcome_handler(database)
    crowd = [await reports.outcome(account, "delivered", challenge_id=uuid7()) for _ in range(50)]

    with statements_of(database) as statements:
        await asyncio.gather(*(handler(delivery(event)) for event in crowd))

    # Relay and back-pressure look into tables of their own meanwhile.
    assert [each for each in statements if "challenges" in each] == ["UPDATE auth.challenges"]


@pytest.mark.parametrize("order", [("deferred", "given_up"), ("given_up", "deferred"), ("expired", "deferred")])
async def test_a_report_of_an_earlier_attempt_does_not_take_back_the_end(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, order: tuple[str, ...]
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)

    await reports.tell(account, *order)

    assert await status(auth_app, login) == "failed"


async def test_only_the_latest_code_of_a_challenge_counts(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    await reports.tell(account, "given_up")
    await clock.forward(COOLDOWN)

    assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    assert await status(auth_app, login) == "pending"
    await reports.tell(account, "delivered", code=1)
    assert await status(auth_app, login) == "pending"
    await reports.tell(account, "delivered", code=2)
    assert await status(auth_app, login) == "delivered"


async def test_a_report_is_for_one_challenge_alone(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports
) -> None:
    account = await accounts.new(is_2fa=True)
    first, second = await steps.begin(account), await steps.begin(account)

    await reports.tell(account, "given_up", code=1)

    assert [await status(auth_app, login) for login in (first, second)] == ["failed", "pending"]


async def test_reports_of_what_is_gone_are_done_with_and_change_nothing(
    clock: DatabaseClock,
    auth_app: AuthApp,
    accounts: Accounts,
    steps: Steps,
    reports: CodeReports,
    bus: MemoryBus,
    sql: asyncpg.Connection,
) -> None:
    deleted, expired = await accounts.new(is_2fa=True), await accounts.new(is_2fa=True)
    for account in (deleted, expired):
        await steps.begin(account)
    await accounts.delete(deleted)
    await clock.forward(241)

    for account in (deleted, expired):
        await reports.tell(account, "delivered")
    await reports.tell(expired, "delivered", challenge_id=uuid7())
    await reports.tell(expired, "delivered", request_event_id=uuid7())
    await sql.execute("DELETE FROM auth.challenges")
    await reports.tell(expired, "delivered")

    assert bus.dead_letters == ()


async def test_a_code_that_was_used_had_been_delivered_whatever_became_of_its_report(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, reports: CodeReports, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True)
    login = await steps.begin(account)
    assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 200

    await reports.tell(account, "expired")

    assert await sql.fetchval("SELECT code_outcome FROM challenges") == "delivered"


async def test_one_that_finds_no_database_is_put_off() -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", pool_timeout=0.1)
    event = OtpOutcome.model_validate_json(REPORT)

    assert await otp_outcome_handler(database)(delivery(event)) == Retry("database unavailable", tried=False)
    await database.close()


REPORT = (
    '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","challenge_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
    '"request_event_id":"01890a5d-ac96-774b-bcce-b302099a805b","outcome":"delivered","attempt":1,'
    '"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
)


@pytest.mark.usefixtures("auth_app")
@pytest.mark.parametrize("change", [b"", b"null", b'{"outcome": "519273"}', REPORT.replace("delivered", "x").encode()])
async def test_poison_is_given_up_with_a_reason_that_repeats_nothing(bus: MemoryBus, change: bytes) -> None:
    event = OtpOutcome.model_validate_json(REPORT)

    await bus.publish(message(event, body=change))

    (letter,) = bus.dead_letters
    assert letter.reason.startswith("MalformedEvent: malformed notifier.otp_outcome.v1")
    assert "519273" not in letter.reason


@pytest.mark.usefixtures("auth_app")
async def test_fields_of_a_newer_release_are_ignored(bus: MemoryBus) -> None:
    event = OtpOutcome.model_validate_json(REPORT)
    body = REPORT.replace("{", '{"a_field_of_tomorrow": {"nested": [1]}, ', 1).encode()

    await bus.publish(message(event, body=body))

    assert bus.dead_letters == ()
