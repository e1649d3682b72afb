"""Back-pressure: nobody is promised a code that will not come, and nobody can use that to shut others out."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from shared.events import AccountChanged
from tests.integration.auth.pressure_world import (
    ACCOUNTS,
    OFF,
    ON,
    PROBE,
    World,
    bus,
    refused,
    verdicts_are_fresh,
    world,
)
from tests.polling import eventually

__all__ = ("bus", "verdicts_are_fresh", "world")


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
