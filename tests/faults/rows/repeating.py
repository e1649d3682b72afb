"""What row 18 does with events: overhears them, and says each ten times, in any order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, cast

from aio_pika.abc import AbstractQueue

from shared.messaging.address_events import AccountCodeOutcome, AddressProved, CodeRequested
from shared.messaging.amqp import AmqpBus
from shared.messaging.amqp.messages import Arrived, received
from shared.messaging.bus import Message
from shared.messaging.events import AccountChanged, OtpOutcome, OtpRequested, SessionEnded
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.notice_events import AuthNoticeRequested, UsersNoticeRequested
from shared.messaging.password_events import PasswordRehashed
from tests.integration.codes_path import PATIENCE
from tests.polling import eventually

TIMES = 10
LogLines = Callable[[], list[dict[str, Any]]]

# Each has a test below; the line that is logged once for every message that was dealt with.
DEALT_WITH = {
    OtpRequested.type: "otp delivery",
    OtpOutcome.type: "code outcome",
    AccountChanged.type: "account applied",
    AuthNoticeRequested.type: "notice delivery",
    UsersNoticeRequested.type: "notice delivery",
    SessionEnded.type: "sessions ended",
    CodeRequested.type: "account code delivery",
    AccountCodeOutcome.type: "account code outcome",
    AddressProved.type: "address proof",
    FactorsChanged.type: "account factors",
    PasswordRehashed.type: "password hashed anew",
}


async def heard(queue: AbstractQueue, kind: str, count: int) -> list[Message]:
    """The first `count` events of this kind."""
    found: list[Message] = []
    while len(found) < count:
        said = await queue.get(no_ack=True, timeout=PATIENCE, fail=False)
        if said is not None and said.routing_key == kind:
            found.append(received(cast("Arrived", said)))  # its fields have the same names
    return found


async def say(bus: AmqpBus, messages: Iterable[Message], log_lines: LogLines) -> None:
    """Each ten times, shuffled; returns when all have been dealt with."""
    said = [message for message in messages for _ in range(TIMES)]
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    random.Random(seed).shuffle(said)
    line = DEALT_WITH[said[0].routing_key]
    before = _count(log_lines, line)
    await asyncio.gather(*(bus.publish(message) for message in said))
    await eventually(lambda: _count(log_lines, line) >= before + len(said), PATIENCE)


def _count(log_lines: LogLines, event: str) -> int:
    """A delivery that was put off comes again."""
    return sum(line["event"] == event and line.get("outcome") != "put_off" for line in log_lines())
