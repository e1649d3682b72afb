"""Composes the notifier: the same code in production, in `make up` and in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.notifier.channel import Channel
from services.notifier.circuit_breaker import CircuitBreaker
from services.notifier.codes import Codes
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import Deliver
from services.notifier.file import FileChannel
from services.notifier.heartbeat import Heart, signs_of_life
from services.notifier.notices import Notices
from services.notifier.report import Reports
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from services.notifier.turns import ByDomain, Domains, Turns
from shared.messaging.bus import Bus
from shared.messaging.edges import EdgeKeys
from shared.messaging.signed import SignedBus
from shared.messaging.topology import NOTICES, OTP_DELIVERY
from shared.sealing import Sealer
from shared.web.process import Running, check_of

# Each notice needs a connection, and mail servers limit those: most are left to codes. A domain gets one at a time.
_NOTICES_AT_A_TIME = 4

# Name of the readiness check. For the file channel it means that the file can be written.
MAIL_SERVER = "mail-server"


def channel_of(settings: NotifierSettings) -> Channel:
    if settings.notifier_channel == "file" and settings.otp_log_file is not None:
        return FileChannel(settings.otp_log_file)
    return SmtpChannel(settings)


def _turns(settings: NotifierSettings) -> tuple[Turns, Turns]:
    places = (settings.notifier_concurrency, _NOTICES_AT_A_TIME)
    if settings.notifier_channel == "file":
        return Turns(places[0]), Turns(places[1])
    domains = Domains()
    return ByDomain(places[0], domains), ByDomain(places[1], domains)


@asynccontextmanager
async def running(settings: NotifierSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `TopologyMismatch`."""
    channel = channel_of(settings)
    database_time = DatabaseTime()
    signed = SignedBus(bus, EdgeKeys.of(settings))
    reports = Reports(signed, database_time.now)
    breaker = CircuitBreaker(channel)
    heart = Heart(signed, channel.reach, database_time.now)
    turns, turns_of_notices = _turns(settings)
    reserved = settings.mail_reserved_domains
    kind = Codes(Sealer.of(settings.otp_sealing_keys), reports, database_time, heart, reserved_domains=reserved)
    codes = Deliver(kind, breaker, database_time, turns)
    consumption = await signed.consume(OTP_DELIVERY.queue, codes, concurrency=turns.seats)
    notices = Deliver(Notices(reserved_domains=reserved), breaker, database_time, turns_of_notices)
    of_notices = await signed.consume(NOTICES.queue, notices, concurrency=turns_of_notices.seats)

    checks = {
        "notifier-consumer": check_of(lambda: consumption.live and of_notices.live),
        MAIL_SERVER: check_of(lambda: channel.reach.good),
    }
    try:
        async with signs_of_life(heart, breaker, channel.reach, lambda: consumption.live):
            yield Running(app=None, checks=checks, reasons={MAIL_SERVER: lambda: channel.reach.reason})
    finally:
        grace = settings.shutdown_grace
        await asyncio.gather(consumption.stop(grace), of_notices.stop(grace))
        await channel.close()
