"""The notifier, composed: the same function in production, in `make up` and in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.notifier.channel import Channel
from services.notifier.codes import Codes
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import Deliver
from services.notifier.file import FileChannel
from services.notifier.notices import Notices
from services.notifier.post import Post
from services.notifier.report import Reports
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from shared.broker.bus import Bus
from shared.broker.edges import EdgeKeys
from shared.broker.signed import SignedBus
from shared.broker.topology import NOTICES, OTP_DELIVERY
from shared.process import Running
from shared.sealing import Sealer

# Each has a connection to the mail server, of which most allow us so many: codes come first.
_NOTICES_AT_A_TIME = 2


def _channel(settings: NotifierSettings) -> Channel:
    if settings.notifier_channel == "file" and settings.otp_log_file is not None:
        return FileChannel(settings.otp_log_file)
    return SmtpChannel(settings)


@asynccontextmanager
async def running(settings: NotifierSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `TopologyMismatch`."""
    channel = _channel(settings)
    database_time = DatabaseTime()
    signed = SignedBus(bus, EdgeKeys.of(settings))
    reports = Reports(signed, database_time.now)
    post = Post(channel)
    codes = Deliver(Codes(Sealer.of(settings.otp_sealing_keys), reports, database_time), post, database_time)
    consumption = await signed.consume(OTP_DELIVERY.queue, codes, concurrency=settings.notifier_concurrency)
    notices = Deliver(Notices(), post, database_time)
    of_notices = await signed.consume(NOTICES.queue, notices, concurrency=_NOTICES_AT_A_TIME)

    async def consumer_live() -> bool:
        return consumption.live and of_notices.live

    try:
        yield Running(app=None, checks={"notifier-consumer": consumer_live})
    finally:
        grace = settings.shutdown_grace
        await asyncio.gather(consumption.stop(grace), of_notices.stop(grace))
        await channel.close()
