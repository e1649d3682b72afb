"""Several mail servers: the next one gets what one does not take now, and nothing that it may have taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from services.doctor.mail_server import mail_server
from services.notifier import relays
from services.notifier.channel import DeliveryFailed
from services.notifier.relays import Relays
from shared.messaging.bus import Done, GiveUp, Handler, Retry
from tests.builders import delivery
from tests.composed import Keys, notifier_settings
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.metrics import sample
from tests.servers.mail import HANG_UP, SILENCE, MailSink
from tests.servers.ports import free_ports

LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def second() -> AsyncIterator[MailSink]:
    async with MailSink() as sink:
        yield sink


def settings(first: MailSink, second: MailSink, **more: Any) -> dict[str, Any]:
    return {"smtp_port": first.port, "smtp_relays": f"smtp+plain://127.0.0.1:{second.port}"} | more


@pytest.fixture
async def notifier(keys: Keys, mail_sink: MailSink, second: MailSink) -> AsyncIterator[Handler]:
    async with running_notifier(keys, **settings(mail_sink, second)) as handler:
        yield handler


async def test_the_first_one_gets_all_mails_that_it_takes(
    notifier: Handler, requested: Requested, mail_sink: MailSink, second: MailSink
) -> None:
    for _ in range(3):
        assert await notifier(delivery(requested())) == Done()
    assert (len(mail_sink.received), len(second.received)) == (3, 0)


@pytest.mark.parametrize(
    ("reply", "stage"),
    [("421 Too busy", "MAIL"), ("450 Try later", "RCPT"), ("451 Disk full", "DATA"), ("553 Sender refused", "MAIL")],
)
async def test_the_second_one_gets_in_the_same_attempt_what_the_first_one_does_not_take_now(
    notifier: Handler, requested: Requested, mail_sink: MailSink, second: MailSink, reply: str, stage: Any
) -> None:
    mail_sink.refuse(reply, at=stage, times=1)
    assert await notifier(delivery(requested())) == Done()
    assert await notifier(delivery(requested())) == Done()
    assert (len(mail_sink.received), len(second.received)) == (1, 1)


@pytest.mark.parametrize("trouble", [HANG_UP, SILENCE])
async def test_what_the_first_one_may_have_taken_goes_to_no_other_in_the_same_attempt(
    keys: Keys, requested: Requested, mail_sink: MailSink, second: MailSink, trouble: str
) -> None:
    mail_sink.refuse(trouble, at="DATA", times=1)
    async with running_notifier(keys, **settings(mail_sink, second, smtp_timeout=2.0)) as notifier:
        assert isinstance(await notifier(delivery(requested())), Retry)
        assert second.received == []


async def test_what_the_first_one_refuses_for_good_is_given_up(
    notifier: Handler, requested: Requested, mail_sink: MailSink, second: MailSink
) -> None:
    mail_sink.refuse("550 5.1.1 No such mailbox")
    assert isinstance(await notifier(delivery(requested())), GiveUp)
    assert second.received == []


async def test_one_that_can_not_be_reached_is_asked_last_and_first_again_later(
    notifier: Handler,
    requested: Requested,
    mail_sink: MailSink,
    second: MailSink,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: LogLines,
) -> None:
    async with mail_sink.stopped():
        assert await notifier(delivery(requested())) == Done()
        assert sample("mail_server_reached") == 1
    assert await notifier(delivery(requested())) == Done()
    assert (len(mail_sink.received), len(second.received)) == (0, 2)
    (lost,) = [line for line in log_lines() if line["event"] == "mail does not get through to its server"]
    assert lost["reason"].startswith(f"127.0.0.1:{mail_sink.port}: connect: ")

    monkeypatch.setattr(relays, "AVOIDED_SECONDS", 0.0)
    second.refuse("450 Try later", times=1)  # then the first one, which is last, is asked
    assert await notifier(delivery(requested())) == Done()
    assert len(mail_sink.received) == 1


async def test_with_none_that_takes_it_the_reason_is_the_last_ones(
    keys: Keys, requested: Requested, mail_sink: MailSink, second: MailSink
) -> None:
    second.refuse("450 Try later")
    async with mail_sink.stopped(), running_notifier(keys, **settings(mail_sink, second)) as notifier:
        outcome = await notifier(delivery(requested()))
    assert isinstance(outcome, Retry)
    assert outcome.reason.startswith(f'127.0.0.1:{second.port}: RCPT: the mail server says "450 Try later"')


@asynccontextmanager
async def several(keys: Keys, *ports: int) -> AsyncIterator[Relays]:
    urls = ",".join(f"smtp+plain://127.0.0.1:{port}" for port in ports[1:])
    channel = Relays(notifier_settings(keys, smtp_port=ports[0], smtp_relays=urls).mail_servers())
    try:
        yield channel
    finally:
        await channel.close()


async def test_a_probe_asks_all_and_fails_when_all_fail(keys: Keys, mail_sink: MailSink, second: MailSink) -> None:
    async with AsyncExitStack() as stack, several(keys, mail_sink.port, second.port) as channel:
        await stack.enter_async_context(second.stopped())
        await channel.probe()
        assert channel.reach.good
        assert channel.reach.reason.startswith(f"127.0.0.1:{second.port}: connect: ")
        assert mail_sink.connections == 1

        await stack.enter_async_context(mail_sink.stopped())
        with pytest.raises(DeliveryFailed):
            await channel.probe()
        assert not channel.reach.good


async def test_doctor_names_the_one_that_is_away(keys: Keys, mail_sink: MailSink) -> None:
    (nobody,) = free_ports(1)
    of = notifier_settings(keys, smtp_port=mail_sink.port, smtp_relays=f"smtp+plain://127.0.0.1:{nobody}")
    good, bad = await mail_server(of)
    assert (good.level, bad.level) == ("ok", "fail")
    assert bad.where == f"SMTP_RELAYS (127.0.0.1:{nobody})"
