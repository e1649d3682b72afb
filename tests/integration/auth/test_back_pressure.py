"""Back-pressure: nobody is promised a code that will not come, and nothing but facts about us decides that."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from services.auth.factors.notifiers import heartbeat_handler
from shared.database.pool import Database
from shared.messaging.bus import Done, GiveUp
from tests.builders import delivery, message
from tests.composed import AuthApp
from tests.integration.auth.back_pressure_world import ON, SILENCE, World, auth_app, bus, refused, world
from tests.polling import eventually

__all__ = ("auth_app", "bus", "world")


# --- what turns it on, and off again


async def test_no_notifier_speaks_any_more_and_one_does_again(world: World) -> None:
    await world.beat()
    await world.passes(SILENCE - 1)
    assert not await world.is_on()

    await world.passes(1)
    assert await world.is_on()
    assert refused(await world.somebody_logs_in())

    await world.beat()
    assert not await world.is_on()
    assert (await world.somebody_logs_in()).status_code == 200


@pytest.mark.parametrize("trouble", [{"mail_taken": False}, {"consuming": False}])
async def test_a_notifier_that_lives_and_delivers_nothing_is_as_good_as_none(
    world: World, trouble: dict[str, bool]
) -> None:
    await world.beat()

    await world.passes(SILENCE, beating=True, **trouble)

    assert await world.is_on()
    await world.beat()
    assert not await world.is_on()


async def test_one_notifier_of_several_that_delivers_is_enough(world: World) -> None:
    await world.beat(uuid4())
    for _ in range(10):
        await world.passes(10, beating=True)
        await world.beat(uuid4(), mail_taken=False)
        assert not await world.is_on()


async def test_a_trouble_that_is_over_before_its_time_turns_nothing_on(world: World) -> None:
    await world.beat()
    await world.passes(SILENCE - 1, beating=True, mail_taken=False)
    await world.beat()
    await world.passes(SILENCE - 1, beating=True, mail_taken=False)

    assert not await world.is_on()


async def test_a_code_that_the_broker_does_not_take(world: World) -> None:
    world.bus.held.add("auth.otp_requested.v1")
    await world.beat()
    assert (await world.somebody_logs_in()).status_code == 200
    await world.passes(ON - 1, beating=True)
    assert not await world.is_on()

    await world.passes(1, beating=True)
    assert await world.is_on()
    assert refused(await world.somebody_logs_in())

    world.bus.held.clear()
    await eventually(lambda: _is_off(world))


async def _is_off(world: World) -> bool:
    return not await world.is_on()


# --- what does not


async def test_other_events_that_wait_turn_nothing_on(world: World, sql: asyncpg.Connection) -> None:
    """A stranger's registration makes some of them, and a full queue of somebody else keeps them."""
    world.bus.held |= {"auth.audit.v1", "auth.notice_requested.v1"}
    for event_type in world.bus.held:
        await sql.execute(
            "INSERT INTO outbox (event_id, type, body, correlation_id) VALUES (gen_random_uuid(), $1, '{}', 'c')",
            event_type,
        )
    await world.passes(10 * ON, beating=True)

    assert not await world.is_on()


@pytest.mark.parametrize("outcome", ["deferred", "given_up", "expired", ""])
async def test_any_number_of_codes_that_do_not_arrive_turns_nothing_on(world: World, outcome: str) -> None:
    """Accounts cost nothing, nor does an address that takes no mail."""
    await world.beat()
    for account in await world.new(12):
        await world.steps.begin(account)
        if outcome:
            await world.reports.tell(account, outcome)
    await world.passes(200, beating=True, lag=200.0)

    assert not await world.is_on()
    assert (await world.somebody_logs_in()).status_code == 200


async def test_the_first_notifier_has_the_time_to_come(world: World) -> None:
    await world.passes(SILENCE - 1)
    assert (await world.somebody_logs_in()).status_code == 200

    await world.passes(1)

    assert await world.is_on()


async def test_a_silence_in_which_nobody_listened_is_none(world: World) -> None:
    """All replicas were away, or the database was: a notifier may have spoken all the time."""
    await world.beat()
    await world.clock.forward(3600)
    assert not await world.is_on()

    await world.passes(SILENCE)

    assert await world.is_on()


# --- what is believed of a heartbeat


async def test_a_heartbeat_that_comes_again_says_nothing(world: World) -> None:
    first = await world.beat()
    second = await world.beat()
    await world.passes(SILENCE)

    for again in (first, second):
        await world.bus.publish(message(again.model_copy(update={"event_id": uuid4()})))

    assert await world.is_on()


async def test_a_heartbeat_of_another_day_says_nothing(world: World) -> None:
    """It was sent again by somebody who had kept it, and its notifier has long been forgotten."""
    old = await world.beat()
    for _ in range(2):
        await world.clock.forward(86400)
        await world.is_on()
    await world.passes(SILENCE)

    await world.bus.publish(message(old.model_copy(update={"instance_id": uuid4()})))

    assert await world.is_on()


async def test_a_notifier_whose_clock_is_wrong_is_believed_all_the_same(world: World) -> None:
    beat = await world.beat()
    await world.passes(SILENCE)
    assert await world.is_on()

    wrong = beat.occurred_at - timedelta(hours=2)
    await world.bus.publish(message(beat.model_copy(update={"event_id": uuid4(), "number": 99, "occurred_at": wrong})))

    assert not await world.is_on()


async def test_a_heartbeat_that_can_not_be_noted_is_not_kept_for_later(auth_app: AuthApp, world: World) -> None:
    """It would say of then what is asked of now."""
    nowhere = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", pool_timeout=0.1)
    beat = await world.beat()

    assert await heartbeat_handler(nowhere)(delivery(beat)) == Done()
    assert isinstance(await heartbeat_handler(nowhere)(delivery(beat, body=b"{}")), GiveUp)
    await nowhere.close()


# --- who is refused


async def _turned_on(world: World) -> None:
    await world.beat()
    await world.passes(SILENCE)
    assert await world.is_on()


async def test_logins_without_a_second_factor_go_on(world: World) -> None:
    await _turned_on(world)

    answer = await world.login(await world.accounts.new(is_2fa=False))

    assert answer.status_code == 200
    assert "access_token" in answer.json()


async def test_who_does_not_know_the_password_learns_nothing_of_it(world: World) -> None:
    """Nor who has a second factor."""
    await _turned_on(world)
    with_it, without = await world.accounts.new(is_2fa=True), await world.accounts.new(is_2fa=False)

    answers = [
        await world.auth.log_in(username, "wrong") for username in (with_it.username, without.username, "nobody")
    ]

    assert {(answer.status_code, answer.text) for answer in answers} == {(400, answers[0].text)}


async def test_a_refused_login_leaves_nothing_behind(world: World, sql: asyncpg.Connection) -> None:
    await _turned_on(world)

    assert refused(await world.somebody_logs_in())

    assert await sql.fetchval("SELECT count(*) FROM challenges") == 0


async def test_a_resend_is_refused_likewise_and_the_challenge_lives_on(world: World) -> None:
    (account,) = await world.new()
    login = await world.steps.begin(account)
    await _turned_on(world)

    assert refused(await world.auth.resend_otp(login.temporary))

    told = (await world.auth.challenge(login.temporary)).json()
    assert (told["status"], told["resends_left"]) == ("pending", 3)
    assert (await world.auth.verify_otp(login.temporary, login.code)).status_code == 200


async def test_what_would_be_refused_anyhow_is_refused_for_that(world: World) -> None:
    used, greedy = await world.new(2)
    over = await world.steps.begin(used)
    assert (await world.auth.verify_otp(over.temporary, over.code)).status_code == 200
    for _ in range(20):
        await world.steps.begin(greedy)
    await _turned_on(world)

    assert (await world.auth.resend_otp(over.temporary)).status_code == 401
    assert (await world.login(greedy)).status_code == 429
