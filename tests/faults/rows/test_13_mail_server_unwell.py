"""Row 13: the mail server refuses connections, accepts them and says nothing, or answers slowly.

A code is tried again until it expires, one attempt takes no longer than SMTP_TIMEOUT in all, and what is for other
people is not starved. The same for the notifier alone: tests/integration/notifier/test_outcomes.py.
"""

from __future__ import annotations

from collections.abc import Callable

import aio_pika
import pytest

from shared.messaging.amqp import AmqpBus
from tests.builders import message, otp_requested
from tests.faults.rows.mail_server import RECOVERED_WITHIN, SMTP_TIMEOUT, way, well_again
from tests.faults.rows.promises import SHOWN_WITHIN, Promise, Promises, in_queues
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.notifier.conftest import Counted, counted
from tests.polling import eventually
from tests.servers.mail import SILENCE
from tests.servers.tcp_proxy import TcpProxy

__all__ = ("counted", "way")

REPLIES_TO_ONE_MAIL = 6
PLACES = 2
MANY = 60
FOUR_MINUTES = 250.0  # and some

UNWELL: dict[str, Callable[[CodesPath, TcpProxy], None]] = {
    "refuses connections": lambda _path, way: way.refuse(),
    "accepts and says nothing": lambda path, _way: path.mails.refuse(SILENCE, at="CONNECT"),
    # Each reply is well within the limit, and all together are beyond it.
    "answers slowly": lambda path, _way: path.mails.be_slow(1.5 * SMTP_TIMEOUT / REPLIES_TO_ONE_MAIL),
}


@pytest.mark.parametrize("trouble", UNWELL)
async def test_codes_are_tried_again_until_the_mail_server_is_well(
    path: CodesPath, promises: Promises, way: TcpProxy, counted: Counted, trouble: str
) -> None:
    await path.start_notifier()
    UNWELL[trouble](path, way)

    await promises.several(5)
    await eventually(lambda: counted("retry") >= 5, SHOWN_WITHIN)
    assert path.mails.received == []

    await well_again(path, way)
    await promises.delivered_again(RECOVERED_WITHIN)
    await promises.kept(mails_each=1)


async def test_those_whom_the_mail_server_keeps_waiting_starve_nobody_else(path: CodesPath, promises: Promises) -> None:
    path.notifier_settings |= {"notifier_concurrency": PLACES, "smtp_timeout": SMTP_TIMEOUT / 2}
    path.mails.refuse(SILENCE, recipient="@silent.example.net")
    stuck = [f"person{number}@silent.example.net" for number in range(PLACES)]
    for email in stuck:
        await path.log_in(email=email)
    others = await promises.several(5)

    await path.start_notifier()

    for promise in others:
        await path.mails.wait_for(promise.email, timeout=PATIENCE)
    assert not any(path.mails.mails_to(email) for email in stuck)
    path.mails.accept()
    for email in stuck:
        await path.mails.wait_for(email, timeout=PATIENCE)
    await promises.kept(mails_each=1)


@pytest.mark.parametrize("domains", [1, MANY])
async def test_sixty_recipients_who_hang_delay_nobody_else(path: CodesPath, domains: int) -> None:
    """With the settings of production; the same for whoever has that many domains."""
    path.mails.refuse(SILENCE, recipient="@.evil.example.net")
    hanging = [f"person{number}@{number % domains}.evil.example.net" for number in range(MANY)]
    for email in hanging:
        assert (await path.log_in(email=email)).status_code == 200

    await path.start_notifier()

    for _ in range(3):
        await path.code_arrives()
    assert not any(path.mails.mails_to(email) for email in hanging)


async def test_a_code_is_tried_until_it_expires_then_counted_and_never_mailed(
    path: CodesPath, way: TcpProxy, counted: Counted
) -> None:
    way.refuse()
    await path.start_notifier()

    bus = AmqpBus(path.amqp_url)
    # Tried at 0 s, 1 s and 4 s; the next time would be at 14 s.
    await bus.publish(message(otp_requested(path.keys.otp_sealer, lives=8)))
    await bus.close()

    await eventually(lambda: counted("expired"), PATIENCE)
    assert (counted("retry"), counted("expired"), counted("given_up")) == (2, 1, 0)
    await well_again(path, way)
    async with await aio_pika.connect(path.amqp_url) as connection, connection.channel() as operator:

        async def gone() -> bool:
            return not await in_queues(operator)

        await eventually(gone, PATIENCE)
    assert path.mails.received == []


@pytest.mark.long
async def test_a_code_that_nobody_takes_in_its_four_minutes_is_tried_eleven_times_and_its_client_is_told(
    path: CodesPath, promises: Promises, counted: Counted
) -> None:
    path.mails.refuse("450 4.2.1 Mailbox busy")
    await path.start_notifier()

    (promise,) = await promises.several(1)

    await eventually(lambda: counted("expired"), FOUR_MINUTES)
    assert (counted("retry"), counted("expired"), counted("given_up")) == (10, 1, 0)
    await eventually(lambda: _is_told(path, promise), PATIENCE)
    assert path.mails.received == []


async def _is_told(path: CodesPath, promise: Promise) -> bool:
    return await path.status(promise.temporary) == "failed"
