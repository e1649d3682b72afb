"""Row 21: the notifier is away for five minutes, and what was asked for meanwhile waits for it.

No mail is sent of a code that has expired (I3); each is mailed, or counted as expired (I1). It prints how fast that is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import httpx
import pytest

from services.auth.settings import AuthSettings
from services.notifier.settings import NotifierSettings
from shared.messaging.amqp import AmqpBus
from shared.messaging.events import OtpRequested
from shared.messaging.topology import OTP_DELIVERY
from tests import edge_keys
from tests.builders import message, otp_requested
from tests.composed import Keys
from tests.polling import eventually
from tests.servers.mail import MailSink
from tests.servers.ports import free_ports
from tests.stacks.program import Program

AWAY = 300.0
LIFE = float(AuthSettings.model_fields["otp_lifetime"].default)
CODE = "519273"
AT_A_TIME = 200
CAUGHT_UP_SECONDS = 3600.0
DOMAINS = 50  # of the recipients: one domain has a quarter of the deliveries
COMES_AGAIN = {"retry", "put_off"}
DELIVERIES = re.compile(r'^login2fa_deliveries_total\{outcome="(\w+)"\} (\S+)$', re.MULTILINE)

# Whether a code lives is asked right before its mail is sent, which may take so long.
SENDING_SECONDS = float(NotifierSettings.model_fields["smtp_timeout"].default)


@dataclass(frozen=True)
class Notifier:
    program: Program
    management: str

    async def counted(self) -> dict[str, float]:
        """Deliveries and what became of them, as its metrics say."""
        async with httpx.AsyncClient(trust_env=False) as client:
            said = (await client.get(f"{self.management}/metrics")).text
        return {outcome: float(value) for outcome, value in DELIVERIES.findall(said) if float(value)}


@pytest.fixture
async def notifier(keys: Keys, amqp_url: str, mail_sink: MailSink, tmp_path: Path) -> AsyncIterator[Notifier]:
    """A process of its own; not yet started."""
    (port,) = free_ports(1)
    settings = {
        "RABBITMQ_URL": amqp_url,
        "MANAGEMENT_PORT": str(port),
        "OTP_SEALING_KEYS": keys.otp_sealing,
        **edge_keys.environment_of("notifier"),
        "MAILED_CODE_SEALING_KEYS": keys.mailed_sealing,
        "SMTP_PORT": str(mail_sink.port),
        "SMTP_SECURITY": "none",
    }
    program = Program("notifier", "notifier", settings=settings, folder=tmp_path)
    yield Notifier(program, f"http://127.0.0.1:{port}")
    print(program.output())
    program.kill()


@pytest.fixture
def arrived(mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> dict[str, datetime]:
    """When the mail of each event came."""
    moments: dict[str, datetime] = {}
    take = mail_sink.take

    def take_and_note(session: object, envelope: object) -> None:
        take(session, envelope)  # type: ignore[arg-type] # as they came
        moments[str(mail_sink.received[-1].message["X-Event-Id"])] = datetime.now(UTC)

    monkeypatch.setattr(mail_sink, "take", take_and_note)
    return moments


@pytest.mark.parametrize("events", [600, pytest.param(100_000, marks=pytest.mark.long)])
async def test_of_a_backlog_of_five_minutes_what_lives_is_mailed_and_what_has_expired_is_counted(
    notifier: Notifier, keys: Keys, amqp_url: str, mail_sink: MailSink, arrived: dict[str, datetime], events: int
) -> None:
    requests = await published(amqp_url, backlog(keys, events))
    begun_at = datetime.now(UTC)  # before it starts: a code may expire between its mail and the look at readiness
    notifier.program.start()
    await notifier.program.until_ready(notifier.management)
    began = time.monotonic()
    dead = {event for event, request in requests.items() if request.expires_at <= begun_at}
    assert dead

    await until_taken(amqp_url)

    async def all_counted() -> dict[str, float]:
        counted = await notifier.counted()
        ends = {word: count for word, count in counted.items() if word not in COMES_AGAIN}
        assert sum(ends.values()) >= events
        return ends

    ends = await eventually(all_counted, CAUGHT_UP_SECONDS)
    seconds, ended_at = time.monotonic() - began, datetime.now(UTC)

    dropping = min(arrived.values(), default=datetime.now(UTC)) - begun_at
    print(
        f"{events} waiting, {len(dead)} expired: all in {seconds:.1f} s, {events / seconds:.0f} a second;"
        f" the first mail after {dropping.total_seconds():.1f} s; {ends}"
    )
    assert (ends.get("delivered", 0), ends["expired"]) == (len(arrived), events - len(arrived))
    assert len(mail_sink.received) == len(arrived)
    assert not dead & set(arrived)
    assert {event for event, request in requests.items() if request.expires_at > ended_at} <= set(arrived)
    late = [moment - requests[event].expires_at for event, moment in arrived.items()]
    assert max(late, default=timedelta()) < timedelta(seconds=SENDING_SECONDS)
    assert not re.search(rf"(?<![\w.-]){CODE}(?![\w-])", notifier.program.log.read_text())


async def until_taken(amqp_url: str) -> None:
    """Until the notifier has at least begun with each: asking itself again and again would slow it down."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as operator:

        async def none_waits() -> bool:
            return (
                await operator.declare_queue(OTP_DELIVERY.queue, passive=True)
            ).declaration_result.message_count == 0

        await eventually(none_waits, CAUGHT_UP_SECONDS)


async def published(amqp_url: str, backlog: Iterator[list[OtpRequested]]) -> dict[str, OtpRequested]:
    """By event id."""
    bus = AmqpBus(amqp_url)
    requests: dict[str, OtpRequested] = {}
    for few in backlog:
        messages = [edge_keys.ALL.signed(replace(message(each), published_at=each.requested_at)) for each in few]
        await asyncio.gather(*map(bus.publish, messages))
        requests |= {str(each.event_id): each for each in few}
    await bus.close()
    return requests


def backlog(keys: Keys, events: int) -> Iterator[list[OtpRequested]]:
    """Asked for one after the other in the last five minutes."""
    since = datetime.now(UTC) - timedelta(seconds=AWAY)
    moments = [since + timedelta(seconds=AWAY * number / events) for number in range(events)]
    for first in range(0, events, AT_A_TIME):
        yield [
            otp_requested(
                keys.otp_sealer,
                code=CODE,
                email=f"ann@example{number % DOMAINS}.org",
                requested_at=moment,
                expires_at=moment + timedelta(seconds=LIFE),
            )
            for number, moment in enumerate(moments[first : first + AT_A_TIME])
        ]
