"""The notifier, composed: the same function in production, in `make up` and in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.notifier.channel import Channel
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import Deliver
from services.notifier.file import FileChannel
from services.notifier.report import Reports
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from shared.broker.bus import Bus
from shared.broker.topology import OTP_DELIVERY
from shared.process import Running
from shared.sealing import Sealer


def _channel(settings: NotifierSettings) -> Channel:
    if settings.notifier_channel == "file" and settings.otp_log_file is not None:
        return FileChannel(settings.otp_log_file)
    return SmtpChannel(settings)


@asynccontextmanager
async def running(settings: NotifierSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `TopologyMismatch`."""
    channel = _channel(settings)
    database_time = DatabaseTime()
    reports = Reports(bus, database_time.now)
    handler = Deliver(channel, Sealer.of(settings.otp_sealing_keys), reports, database_time)
    consumption = await bus.consume(OTP_DELIVERY.queue, handler, concurrency=settings.notifier_concurrency)

    async def consumer_live() -> bool:
        return consumption.live

    try:
        yield Running(app=None, checks={"notifier-consumer": consumer_live})
    finally:
        await consumption.stop(settings.shutdown_grace)
        await channel.close()
