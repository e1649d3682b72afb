"""A code, its report and its challenge over a real broker; back-pressure off, on and off again by each cause."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from services.notifier import database_time
from shared.messaging.amqp import AmqpBus
from tests import edge_keys
from tests.builders import message, otp_requested
from tests.integration.codes_path import PATIENCE, CodesPath, keys, path, silence
from tests.polling import eventually
from tests.servers.mail import HANG_UP

__all__ = ("keys", "path", "silence")


async def test_the_client_is_told_that_its_code_was_delivered(path: CodesPath) -> None:
    await path.start_notifier()
    temporary = await path.code_arrives()

    await eventually(lambda: _has(path, temporary, "delivered"))


async def test_the_client_is_told_that_its_code_will_not_come(path: CodesPath) -> None:
    path.mails.refuse("550 5.1.1 No such mailbox")
    await path.start_notifier()
    temporary = (await path.log_in()).json()["temporary_token"]

    await eventually(lambda: _has(path, temporary, "failed"))


async def test_a_code_that_is_tried_again_is_pending_until_it_is_there(path: CodesPath) -> None:
    path.mails.refuse("450 4.2.1 Busy", times=2)  # so that it is on its way for seconds
    await path.start_notifier()
    temporary = (await path.log_in()).json()["temporary_token"]
    await eventually(lambda: _outcome(path, "deferred"))
    assert await path.status(temporary) == "pending"

    await eventually(lambda: _has(path, temporary, "delivered"))


async def _has(path: CodesPath, temporary: str, status: str) -> bool:
    return await path.status(temporary) == status


async def _outcome(path: CodesPath, word: str) -> bool:
    return bool(await path.sql.fetchval("SELECT code_outcome = $1 FROM auth.challenges", word))


# --- back-pressure

SILENCE = 8.0  # the notifier speaks every 3 s


async def known_to_work(path: CodesPath) -> None:
    await path.start_notifier()
    temporary = await path.code_arrives()
    await eventually(lambda: _has(path, temporary, "delivered"), PATIENCE)
    assert not await path.is_on()


async def on(path: CodesPath) -> None:
    await path.until_it_turns(on=True)
    answer = await eventually(lambda: _refused(path))
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "temporarily_unavailable"
    assert (await path.log_in(is_2fa=False)).status_code == 200


async def _refused(path: CodesPath) -> httpx.Response:
    answer = await path.log_in()
    assert answer.status_code == 503
    return answer


async def off(path: CodesPath) -> None:
    """Nobody has to try: it turns by itself."""
    await eventually(lambda: _is_off(path), PATIENCE)
    await eventually(lambda: _is_in(path), PATIENCE)


async def _is_off(path: CodesPath) -> bool:
    return not await path.is_on()


async def _is_in(path: CodesPath) -> bool:
    temporary = await path.code_arrives()
    return await path.status(temporary) == "delivered"


async def test_off_on_and_off_again_with_the_broker_away(path: CodesPath) -> None:
    await known_to_work(path)
    path.proxy.refuse()
    path.proxy.cut()
    await on(path)

    await path.proxy.start()

    await off(path)


@pytest.mark.parametrize("silence", [SILENCE])
async def test_off_on_and_off_again_with_the_notifier_away(path: CodesPath) -> None:
    await known_to_work(path)
    await path.stop_notifier()
    await on(path)
    waiting = await path.sql.fetchval("SELECT count(*) FROM auth.challenges WHERE code_outcome IS NULL")
    delivered = len(path.mails.received)

    await path.start_notifier()

    await off(path)
    # The backlog, and more; of those to one domain some are put off.
    await eventually(lambda: len(path.mails.received) >= delivered + waiting, PATIENCE)


@pytest.mark.parametrize("silence", [SILENCE])
@pytest.mark.parametrize(
    "trouble",
    [
        "554 5.3.2 Not now",
        *(pytest.param(each, marks=pytest.mark.long) for each in ("421 4.3.2 Too many of you", HANG_UP)),
    ],
)
async def test_off_on_and_off_again_with_a_mail_server_that_takes_no_connections(path: CodesPath, trouble: str) -> None:
    await known_to_work(path)
    path.mails.refuse(trouble, at="CONNECT")
    path.mails.hang_up()
    await on(path)

    path.mails.accept()

    await off(path)


# --- clocks


@pytest.mark.parametrize("wrong", [300, -300])
async def test_a_code_is_delivered_by_a_notifier_whose_clock_is_five_minutes_off(
    path: CodesPath, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    monkeypatch.setattr(database_time, "time", _clock(wrong))
    bus = await path.start_notifier()
    await eventually(lambda: bus._consumptions[-1]._attention.caught_up)

    await path.code_arrives()


async def test_a_code_is_delivered_after_a_step_back_of_the_notifiers_clock(
    path: CodesPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.start_notifier()
    await path.code_arrives()

    monkeypatch.setattr(database_time, "time", _clock(-300))

    await path.code_arrives()


async def test_a_retry_is_delivered_by_a_notifier_whose_clock_is_five_minutes_ahead(
    path: CodesPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_time, "time", _clock(300))
    path.mails.refuse("450 4.2.1 Busy", times=1)
    bus = await path.start_notifier()
    await eventually(lambda: bus._consumptions[-1]._attention.caught_up)

    await path.code_arrives()


def _clock(wrong: float) -> SimpleNamespace:
    return SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + wrong)


async def test_of_a_backlog_what_has_expired_is_not_mailed_and_what_lives_is(path: CodesPath) -> None:
    """Each message looks new to who has no clock, and each has a place free when it comes."""
    now = datetime.now(UTC)
    bus = AmqpBus(path.amqp_url)
    for name, age in (("dead", 300), ("living", 200), ("new", 0)):
        asked = now - timedelta(seconds=age)
        event = otp_requested(
            path.keys.otp_sealer,
            email=f"{name}@example.org",
            requested_at=asked,
            expires_at=asked + timedelta(seconds=240),
        )
        await bus.publish(edge_keys.ALL.signed(replace(message(event), published_at=asked)))
    await bus.close()

    await path.start_notifier()

    for name in ("living", "new"):
        await path.mails.wait_for(f"{name}@example.org", timeout=PATIENCE)
    assert path.mails.mails_to("dead@example.org") == []
