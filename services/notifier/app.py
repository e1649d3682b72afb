"""Composes the notifier: the same code in production, in `make up` and in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.notifier.account_codes import AccountCodes
from services.notifier.channel import Channel
from services.notifier.circuit_breaker import CircuitBreaker
from services.notifier.codes import Codes
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import Deliver, E, Kind
from services.notifier.file import FileChannel
from services.notifier.heartbeat import Heart, signs_of_life
from services.notifier.http import HttpChannel
from services.notifier.notices import Notices
from services.notifier.reach import Reach
from services.notifier.relays import Relays
from services.notifier.report import Reports
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from services.notifier.turns import ByDomain, Domains, Turns
from shared.messaging.bus import Bus, Consumption
from shared.messaging.edges import EdgeKeys
from shared.messaging.signed import SignedBus
from shared.messaging.topology import ACCOUNT_CODES, NOTICES, OTP_DELIVERY
from shared.sealing import Sealer
from shared.web.process import Running, check_of

# Each mail under way needs a connection, and mail servers limit those: most are left to login codes. A domain gets one
# at a time.
_ACCOUNT_CODES_AT_A_TIME = 4
_NOTICES_AT_A_TIME = 4

# Name of the readiness check. For the file channel it means that the file can be written.
MAIL_SERVER = "mail-server"


def channel_of(settings: NotifierSettings) -> Channel:
    if settings.notifier_channel == "file" and settings.otp_log_file is not None:
        return FileChannel(settings.otp_log_file)
    if settings.notifier_channel == "http":
        return HttpChannel(settings)
    return Relays(settings.mail_servers()) if settings.smtp_relays else SmtpChannel(settings, Reach())


def _turns(settings: NotifierSettings) -> Callable[[int], Turns]:
    """Makes the turns of one queue. All queues share what is known of the recipients' domains."""
    if settings.notifier_channel != "smtp":
        return Turns
    domains = Domains()
    return lambda at_a_time: ByDomain(at_a_time, domains)


@asynccontextmanager
async def running(settings: NotifierSettings, bus: Bus) -> AsyncIterator[Running]:
    """Raises `TopologyMismatch`."""
    channel = channel_of(settings)
    database_time = DatabaseTime()
    signed = SignedBus(bus, EdgeKeys.of(settings))
    breaker = CircuitBreaker(channel)
    heart = Heart(signed, channel.reach, database_time.now)
    consumptions = await _consume_all(settings, signed, breaker, heart, database_time)

    checks = {
        "notifier-consumer": check_of(lambda: all(each.live for each in consumptions)),
        MAIL_SERVER: check_of(lambda: channel.reach.good),
    }
    try:
        async with signs_of_life(heart, breaker, channel.reach, lambda: consumptions[0].live):
            yield Running(app=None, checks=checks, reasons={MAIL_SERVER: lambda: channel.reach.reason})
    finally:
        await asyncio.gather(*(each.stop(settings.shutdown_grace) for each in consumptions))
        await channel.close()


async def _consume_all(
    settings: NotifierSettings, signed: SignedBus, breaker: CircuitBreaker, heart: Heart, database_time: DatabaseTime
) -> tuple[Consumption, ...]:
    """The queue of the login codes comes first. Each has turns of its own, so that no queue delays another."""
    turns = _turns(settings)
    reserved = settings.mail_reserved_domains

    async def consume(queue: str, kind: Kind[E], at_a_time: int) -> Consumption:
        deliver = Deliver(kind, breaker, database_time, turns(at_a_time))
        return await signed.consume(queue, deliver, concurrency=deliver.turns.seats)

    sealer, sealer_of_users = Sealer.of(settings.otp_sealing_keys), Sealer.of(settings.mailed_code_sealing_keys)
    codes = Codes(sealer, Reports(signed), database_time, heart, reserved_domains=reserved)
    account_codes = AccountCodes(sealer_of_users, Reports(signed), database_time, reserved_domains=reserved)
    return (
        await consume(OTP_DELIVERY.queue, codes, settings.notifier_concurrency),
        await consume(ACCOUNT_CODES.queue, account_codes, _ACCOUNT_CODES_AT_A_TIME),
        await consume(NOTICES.queue, Notices(reserved_domains=reserved), _NOTICES_AT_A_TIME),
    )
