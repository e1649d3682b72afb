"""Row 14: the mail server says no. To a mail for now (421, 450), to a mail for good (550, 554), or to us (535).

The first is tried again; the second is given up at once, with its reason; the third pauses all deliveries, shows in the
metrics, and costs no message. For the notifier alone, and over TLS: tests/integration/notifier/test_outcomes.py.
"""

from __future__ import annotations

import time

import pytest

from services.notifier import heartbeat
from shared.messaging.amqp import dead_letters
from shared.messaging.bus import DeadLetter
from shared.messaging.topology import OTP_DELIVERY
from tests.faults.rows.mail_server import RECOVERED_WITHIN, paused
from tests.faults.rows.promises import SHOWN_WITHIN, Promises
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.notifier.conftest import Counted, counted
from tests.polling import eventually
from tests.servers.mail import Stage

__all__ = ("counted",)

CREDENTIALS_REFUSED = "535 5.7.8 Authentication credentials invalid"
PAUSE = 3.0  # instead of 30 s
PERSON = "somebody@example.org"


@pytest.mark.parametrize(
    ("reply", "stage"),
    [
        ("421 4.3.2 Closing", "CONNECT"),
        # It refuses us, and has not been told of a message yet.
        ("554 5.3.2 No service for you", "CONNECT"),
        ("450 4.2.1 Mailbox busy", "RCPT"),
        ("451 4.3.0 Greylisted", "DATA"),
    ],
)
async def test_a_mail_that_is_refused_for_now_is_tried_again(
    path: CodesPath,
    promises: Promises,
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    reply: str,
    stage: Stage,
) -> None:
    monkeypatch.setattr(heartbeat, "PROBED_EVERY", PATIENCE)  # a probe would take the refusal that is for the mail
    await path.start_notifier()
    await eventually(lambda: "QUIT" in path.mails.heard)  # the first one is over
    path.mails.refuse(reply, at=stage, times=1)

    await promises.several(1)

    await promises.kept(mails_each=1)
    assert (counted("retry"), counted("delivered"), counted("given_up")) == (1, 1, 0)


@pytest.mark.parametrize(("reply", "stage"), [("550 5.1.1 No such mailbox", "RCPT"), ("554 5.7.1 Spam", "DATA")])
async def test_a_mail_that_is_refused_for_good_is_given_up_at_once_with_its_reason_and_can_be_replayed(
    path: CodesPath, promises: Promises, counted: Counted, reply: str, stage: Stage
) -> None:
    path.mails.refuse(f"{reply}: {PERSON}", at=stage)
    await path.start_notifier()

    (promise,) = await promises.several(1)

    (letter,) = await eventually(lambda: _dead_letters(path), SHOWN_WITHIN)
    assert (letter.queue, letter.attempts) == (OTP_DELIVERY.queue, 1)
    assert reply[:3] in letter.reason
    assert PERSON not in letter.reason
    await eventually(lambda: _has(path, promise.temporary, "failed"))
    assert (counted("given_up"), counted("retry"), _mails_begun(path)) == (1, 0, 1)

    path.mails.accept()
    assert await dead_letters.replay(path.amqp_url) == 1

    await eventually(lambda: _has(path, promise.temporary, "delivered"))
    await promises.kept(mails_each=1)


async def test_refused_credentials_pause_deliveries_alarm_and_burn_no_message(
    path: CodesPath, promises: Promises, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.circuit_breaker._PAUSE", PAUSE)
    path.mails.refuse(CREDENTIALS_REFUSED, at="MAIL")
    await path.start_notifier()
    began = time.monotonic()
    await promises.several(1)
    await eventually(paused, SHOWN_WITHIN)

    await promises.several(4)
    await eventually(lambda: counted("retry") >= 5, SHOWN_WITHIN)

    assert _mails_begun(path) <= 1 + (time.monotonic() - began) / PAUSE
    path.mails.accept()
    await promises.delivered_again(RECOVERED_WITHIN)
    await promises.kept(mails_each=1)
    assert not paused()
    assert await _dead_letters(path) == []


def _mails_begun(path: CodesPath) -> int:
    return sum(line.startswith("MAIL") for line in path.mails.heard)


async def _dead_letters(path: CodesPath) -> list[DeadLetter]:
    return [*await dead_letters.list(path.amqp_url)]


async def _has(path: CodesPath, temporary: str, status: str) -> bool:
    return await path.status(temporary) == status
