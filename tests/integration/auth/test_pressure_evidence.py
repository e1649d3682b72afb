"""Back-pressure: what is no evidence that codes are not delivered, and must not turn it on."""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.auth.pressure_world import (
    ACCOUNTS,
    ON,
    World,
    bus,
    verdicts_are_fresh,
    world,
)

__all__ = ("bus", "verdicts_are_fresh", "world")


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
