"""Row 15: the mail server's connection breaks in a message or after its dot, or its 250 comes late.

Nobody can know then whether the mail was taken. It is sent again, once for each such fault (I4): the same code under
the same `Message-ID`. Before the dot there is nothing to be taken yet, so no mail is doubled.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.messaging.topology import retry_delay
from tests.faults.rows.mail_server import RECOVERED_WITHIN, SMTP_TIMEOUT, way, well_again
from tests.faults.rows.promises import SHOWN_WITHIN, Promises
from tests.integration.codes_path import CodesPath
from tests.integration.notifier.conftest import Counted, counted
from tests.polling import eventually
from tests.servers.mail import HANG_UP, SILENCE
from tests.servers.tcp_proxy import TcpProxy

__all__ = ("counted", "way")

IN_THE_MESSAGE = 500  # bytes that the notifier has sent by then; a mail has some more
PEOPLE = 5

FAULTS: dict[str, tuple[Callable[[CodesPath, TcpProxy], None], int]] = {
    "the server hangs up in the message": (lambda path, _way: path.mails.refuse(HANG_UP, at="BODY", times=PEOPLE), 1),
    "the network is cut in the message": (lambda _path, way: way.cut_after(IN_THE_MESSAGE, "out"), 1),
    "the server hangs up after the dot": (lambda path, _way: path.mails.refuse(HANG_UP, at="DATA", times=PEOPLE), 2),
    "the 250 never comes": (lambda path, _way: path.mails.refuse(SILENCE, at="DATA", times=PEOPLE), 2),
    "the 250 comes too late": (lambda path, _way: path.mails.be_late(SMTP_TIMEOUT + 1, times=PEOPLE), 2),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_mail_that_may_have_been_taken_is_sent_again_and_is_the_same(
    path: CodesPath, promises: Promises, way: TcpProxy, counted: Counted, fault: str
) -> None:
    happens, mails_each = FAULTS[fault]
    path.notifier_settings["notifier_concurrency"] = 4 * PEOPLE  # of which one domain has a quarter
    happens(path, way)
    made = await promises.several(PEOPLE)

    await path.start_notifier()  # all at once: none is tried twice before another was tried
    await eventually(lambda: counted("retry") >= PEOPLE, SHOWN_WITHIN)
    await well_again(path, way)
    await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=mails_each)
    assert [len(path.mails.mails_to(promise.email)) for promise in made] == [mails_each] * PEOPLE


async def test_a_250_that_is_late_and_in_time_doubles_nothing(
    path: CodesPath, promises: Promises, counted: Counted
) -> None:
    path.mails.be_late(1.0)
    await path.start_notifier()

    await promises.several(PEOPLE)

    # A notifier that is told to end meanwhile would put its mail back, which nobody knows to be taken.
    await eventually(lambda: counted("delivered") == PEOPLE, SHOWN_WITHIN)
    await promises.kept(mails_each=1)
    assert counted("retry") == 0


def test_a_server_that_never_answers_after_the_dot_gets_a_code_of_four_minutes_eleven_times_at_most() -> None:
    attempts, age = 1, 0
    while age + retry_delay(attempts) < 240:
        age += retry_delay(attempts)
        attempts += 1

    assert attempts == 11
