"""Connections to the mail server are kept between mails, and never at the price of a mail."""

from __future__ import annotations

import asyncio

import pytest

from services.notifier import mail_server
from shared.messaging.bus import Done, GiveUp, Handler, Retry
from tests.builders import delivery
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.metrics import sample
from tests.polling import eventually
from tests.servers.mail import HANG_UP, SILENCE, MailSink, Stage


def commands(sink: MailSink) -> list[str]:
    """The first word of each line that is a command."""
    words = [line.partition(" ")[0] for line in sink.heard]
    return [word for word in words if word in {"EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}]


async def test_mails_one_after_the_other_go_over_one_connection_and_cost_three_commands_each(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    for _ in range(3):
        assert await notifier(delivery(requested())) == Done()

    assert mail_sink.connections == 1
    assert commands(mail_sink) == ["EHLO", *(["MAIL", "RCPT", "DATA"] * 3)]


async def test_each_mail_of_a_kept_connection_has_one_recipient_and_its_own_code(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    sent = [(f"person{number}@example.org", f"{number:06d}") for number in range(5)]
    for email, code in sent:
        await notifier(delivery(requested(email=email, code=code)))

    assert [(mail.recipients, mail.code) for mail in mail_sink.received] == [([email], code) for email, code in sent]
    assert mail_sink.connections == 1


async def test_mails_at_the_same_time_have_a_connection_each_and_leave_them_to_those_that_follow(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    for _ in range(2):
        outcomes = await asyncio.gather(*(notifier(delivery(requested())) for _ in range(4)))
        assert outcomes == [Done()] * 4

    assert (mail_sink.connections, len(mail_sink.received)) == (4, 8)


@pytest.mark.parametrize("trouble", ["550 Nobody", "450 Busy", HANG_UP])
async def test_a_connection_on_which_anything_went_wrong_carries_no_other_mail(
    notifier: Handler, requested: Requested, mail_sink: MailSink, trouble: str
) -> None:
    await notifier(delivery(requested()))
    mail_sink.refuse(trouble, at="RCPT", times=1)

    assert isinstance(await notifier(delivery(requested())), GiveUp if trouble.startswith("5") else Retry)
    assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, len(mail_sink.received)) == (2, 2)


async def test_a_connection_that_did_not_answer_in_time_carries_no_other_mail(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    async with running_notifier(keys, smtp_port=mail_sink.port, smtp_timeout=2.0) as notifier:
        assert await notifier(delivery(requested())) == Done()
        mail_sink.refuse(SILENCE, at="RCPT", times=1)
        assert isinstance(await notifier(delivery(requested())), Retry)
        assert await notifier(delivery(requested())) == Done()

    first, second = mail_sink.received
    assert first.peer != second.peer


async def test_after_a_server_has_left_while_nothing_was_sent_the_next_mail_goes_over_a_new_connection(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    await asyncio.gather(*(notifier(delivery(requested())) for _ in range(3)))
    mail_sink.hang_up()

    assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, len(mail_sink.received)) == (4, 4)


@pytest.mark.parametrize("farewell", [HANG_UP, "421 4.4.2 Idle for too long"])
async def test_a_server_that_leaves_at_the_first_command_gets_the_mail_at_once_over_another_connection(
    notifier: Handler, requested: Requested, mail_sink: MailSink, farewell: str
) -> None:
    await notifier(delivery(requested()))
    mail_sink.refuse(farewell, at="MAIL", times=1)

    assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, len(mail_sink.received)) == (2, 2)


async def test_a_new_connection_that_says_no_is_not_replaced_by_another(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail_sink.refuse("421 4.3.2 Going down", at="MAIL")

    assert isinstance(await notifier(delivery(requested())), Retry)

    assert mail_sink.connections == 1


async def test_a_sender_that_is_refused_on_a_kept_connection_is_refused(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    await notifier(delivery(requested()))
    mail_sink.refuse("550 5.7.1 Not from you", at="MAIL", times=1)

    assert isinstance(await notifier(delivery(requested())), Retry)

    assert mail_sink.connections == 1


async def test_a_connection_is_left_in_order_after_so_many_mails(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 2)

    for _ in range(3):
        assert await notifier(delivery(requested())) == Done()

    assert mail_sink.connections == 2
    await eventually(lambda: commands(mail_sink).count("QUIT") == 1)


async def test_a_connection_that_is_left_after_so_many_mails_is_replaced_before_a_mail_needs_another(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 1)

    assert await notifier(delivery(requested())) == Done()

    await eventually(lambda: commands(mail_sink).count("EHLO") == 2)
    assert mail_sink.connections == 2


async def test_a_replacement_that_is_refused_costs_no_mail(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 2)
    await notifier(delivery(requested()))
    mail_sink.refuse("421 4.3.2 Too many", at="EHLO", times=1)
    await notifier(delivery(requested()))

    assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, len(mail_sink.received)) == (3, 3)


async def test_a_replacement_that_hangs_holds_up_no_mail(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 2)
    monkeypatch.setattr(mail_server, "REPLACING_SECONDS", 0.05)
    await notifier(delivery(requested()))
    mail_sink.refuse(SILENCE, at="EHLO", times=1)
    await notifier(delivery(requested()))

    assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, len(mail_sink.received)) == (3, 3)


async def test_while_there_are_other_connections_none_is_replaced(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 2)
    await asyncio.gather(*(notifier(delivery(requested())) for _ in range(2)))

    assert await notifier(delivery(requested())) == Done()

    await eventually(lambda: commands(mail_sink).count("QUIT") == 1)
    assert mail_sink.connections == 2


async def test_the_end_of_the_process_does_not_wait_for_a_replacement(
    keys: Keys, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "MOST_MAILS", 2)
    async with asyncio.timeout(10), running_notifier(keys, smtp_port=mail_sink.port) as notifier:
        await notifier(delivery(requested()))
        mail_sink.refuse(SILENCE, at="EHLO", times=1)
        await notifier(delivery(requested()))
        await eventually(lambda: commands(mail_sink).count("EHLO") == 2)


async def test_a_connection_is_left_in_order_when_it_had_no_mail_for_a_while(
    notifier: Handler, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "KEPT_SECONDS", 0.01)

    assert await notifier(delivery(requested())) == Done()
    await eventually(lambda: commands(mail_sink)[-1:] == ["QUIT"])
    assert await notifier(delivery(requested())) == Done()

    assert mail_sink.connections == 2


async def test_a_connection_that_is_in_use_again_is_not_left_for_the_time_that_it_had_no_mail(
    keys: Keys, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    monkeypatch.setattr(mail_server, "KEPT_SECONDS", 0.2)
    async with running_notifier(keys, smtp_port=mail_sink.port) as notifier:
        await notifier(delivery(requested()))
        mail_sink.be_late(0.5, at="DATA", times=1)

        assert await notifier(delivery(requested())) == Done()

    assert (mail_sink.connections, problems) == (1, [])


async def test_at_the_end_of_the_process_every_connection_is_left_in_order(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    async with running_notifier(keys, smtp_port=mail_sink.port) as notifier:
        await asyncio.gather(*(notifier(delivery(requested())) for _ in range(3)))

    assert commands(mail_sink)[-3:] == ["QUIT"] * 3


async def test_a_server_that_does_not_let_us_go_holds_up_neither_a_mail_nor_the_end(
    keys: Keys, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "GOODBYE_SECONDS", 0.05)
    async with asyncio.timeout(10), running_notifier(keys, smtp_port=mail_sink.port) as notifier:
        await notifier(delivery(requested()))
        mail_sink.be_slow(3600)


@pytest.mark.parametrize(
    ("reply", "at", "outcome"),
    [
        ("250 Taken", "RCPT", "accepted"),
        ("450 Busy", "RCPT", "retry"),
        ("550 Nobody", "RCPT", "refused"),
        ("530 Who are you?", "MAIL", "credentials"),
        (SILENCE, "RCPT", "timeout"),
    ],
)
async def test_the_time_of_a_mail_counts_for_what_the_mail_server_made_of_it(
    keys: Keys, requested: Requested, mail_sink: MailSink, reply: str, at: Stage, outcome: str
) -> None:
    async with running_notifier(
        keys, smtp_port=mail_sink.port, smtp_timeout=0.3 if reply == SILENCE else 15.0
    ) as notifier:
        if outcome != "accepted":
            mail_sink.refuse(reply, at=at, times=1)
        await notifier(delivery(requested()))
    assert sample("smtp_seconds_count", relay=f"127.0.0.1:{mail_sink.port}", outcome=outcome) == 1
