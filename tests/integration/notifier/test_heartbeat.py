"""What a notifier says of itself: facts about it and its mail server, and nothing that was said of a recipient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.notifier import app as notifier
from services.notifier import heartbeat
from services.notifier.mail_server import MailServer
from shared.messaging.bus import Handler
from shared.messaging.events import NotifierHeartbeat
from shared.messaging.topology import HEARTBEATS, OTP_DELIVERY, OTP_OUTCOMES
from tests.builders import delivery
from tests.composed import Keys, notifier_settings
from tests.fakes import TroubledBus
from tests.integration.notifier.conftest import Requested
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.mail import HANG_UP, MailSink, Stage

MANY_BEATS = 30


class _TappedBus(TroubledBus):
    codes: Handler

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> Any:
        if queue == OTP_DELIVERY.queue:
            self.codes = handler
        return await super().consume(queue, handler, concurrency=concurrency)


class Speaking:
    def __init__(self, bus: _TappedBus, heard: Recorder) -> None:
        self.bus = bus
        self._heard = heard

    @property
    def beats(self) -> list[NotifierHeartbeat]:
        return [NotifierHeartbeat.from_message(each) for each in self._heard.deliveries]

    async def says(self, what: Callable[[NotifierHeartbeat], bool]) -> None:
        """In a beat that is still to come."""
        before = len(self.beats) + 1
        await eventually(lambda: any(what(beat) for beat in self.beats[before:]), 30)

    async def goes_on(self) -> list[NotifierHeartbeat]:
        before = len(self.beats)
        await eventually(lambda: len(self.beats) >= before + MANY_BEATS, 30)
        return self.beats[before:]


@asynccontextmanager
async def speaking(keys: Keys, **settings: Any) -> AsyncIterator[Speaking]:
    bus, heard = _TappedBus(), Recorder()
    await bus.consume(HEARTBEATS.queue, heard, concurrency=1)
    await bus.consume(OTP_OUTCOMES.queue, Recorder(), concurrency=1)
    async with notifier.running(notifier_settings(keys, **settings), bus):
        yield Speaking(bus, heard)
    await bus.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "PROBED_EVERY", 0.05)
    monkeypatch.setattr(heartbeat, "PROBED_AGAIN", 0.05)


async def test_it_counts_its_beats_and_says_that_its_mail_server_takes_connections(
    keys: Keys, mail_sink: MailSink
) -> None:
    async with speaking(keys, smtp_port=mail_sink.port) as one:
        await one.says(lambda beat: beat.mail_taken and beat.consuming)

    assert [beat.number for beat in one.beats] == list(range(1, len(one.beats) + 1))
    assert len({beat.instance_id for beat in one.beats}) == 1


@pytest.mark.parametrize(
    ("reply", "stage"), [("554 No", "CONNECT"), ("421 Too many", "CONNECT"), (HANG_UP, "CONNECT"), ("550 No", "EHLO")]
)
async def test_it_says_that_its_mail_server_is_away_and_that_it_is_back(
    keys: Keys, mail_sink: MailSink, reply: str, stage: Stage
) -> None:
    async with speaking(keys, smtp_port=mail_sink.port) as one:
        await one.says(lambda beat: beat.mail_taken)
        mail_sink.refuse(reply, at=stage)
        await one.says(lambda beat: not beat.mail_taken)
        mail_sink.accept()
        await one.says(lambda beat: beat.mail_taken)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["554 No", "451 Later", "421 Going down", "535 Who are you", HANG_UP])
async def test_nothing_that_is_said_of_a_mail_changes_what_it_says(
    keys: Keys, requested: Requested, mail_sink: MailSink, reply: str, stage: Stage
) -> None:
    async with speaking(keys, smtp_port=mail_sink.port) as one:
        await one.says(lambda beat: beat.mail_taken)
        mail_sink.refuse(reply, at=stage)
        await asyncio.gather(*(one.bus.codes(delivery(requested())) for _ in range(3)))

        assert all(beat.mail_taken for beat in await one.goes_on())


async def test_it_says_how_old_the_code_was_that_it_was_handed_last_and_counts_no_second_attempt(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    async with speaking(keys, smtp_port=mail_sink.port) as one:
        await one.bus.codes(delivery(requested(), attempt=2))
        assert all(beat.lag is None for beat in await one.goes_on())
        await one.bus.codes(delivery(requested()))
        await eventually(lambda: any(beat.lag is not None for beat in one.beats), 30)


async def test_with_a_file_it_says_whether_it_can_be_written(keys: Keys, tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    async with speaking(keys, notifier_channel="file", otp_log_file=folder / "otp.txt") as one:
        await one.says(lambda beat: not beat.mail_taken)
        folder.mkdir()
        await one.says(lambda beat: beat.mail_taken)


async def test_it_ends_though_the_library_for_smtp_loses_a_cancellation(
    keys: Keys, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `wait_for` of Python 3.11 does, when it comes in the same moment as what is waited for."""
    lost = asyncio.Event()
    asked = asyncio.Event()

    async def probe(*_arguments: object) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if lost.is_set():
                raise
            lost.set()

    monkeypatch.setattr(MailServer, "probe", probe)
    async with asyncio.timeout(60), speaking(keys, smtp_port=mail_sink.port):
        await asked.wait()

    assert lost.is_set()
