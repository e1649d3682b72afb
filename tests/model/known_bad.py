"""Ways of building the event path wrongly, each the smallest change to the real code that makes the mistake.

A model that lets one of these pass would let the same mistake pass in the real code.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import make_msgid
from typing import Any, cast
from unittest.mock import patch

from sqlalchemy import Row, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import database_time
from services.notifier.channel import Delivery
from services.notifier.codes import Codes
from services.notifier.database_time import DatabaseTime
from services.notifier.mails.login_code import LoginCodeMail
from shared.messaging import bus, outbox, relay
from shared.messaging.amqp.consumer import AmqpConsumption
from shared.messaging.amqp.link import Link
from shared.messaging.amqp.messages import Arrived, Outgoing
from shared.messaging.amqp.settle import Settler
from shared.messaging.bus import BusError, BusUnavailable
from shared.messaging.events import Event, OtpRequested
from shared.messaging.relay import Relay
from tests.model.outbox_rows import MemoryDatabase, Rows, Transaction

_background: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks weakly

_add = outbox.add
_failure = relay._failure


def _left_alone(task: asyncio.Task[Any]) -> None:
    _background.add(task)
    task.add_done_callback(_background.discard)


class AcksBeforeSending(AmqpConsumption):
    def _receiver(self, link: Link) -> Callable[[Arrived], Awaitable[None]]:
        receive = super()._receiver(link)

        async def acknowledge_first(message: Arrived) -> None:
            await link.acknowledge(message)
            await receive(message)

        return acknowledge_first


class DeletesBeforeConfirm(Relay):
    async def _publish(self, rows: Sequence[Row[Any]]) -> tuple[list[int], list[BusError]]:
        _left_alone(asyncio.create_task(super()._publish(rows)))
        return [row.id for row in rows], []


class StopsAtOnce(Relay):
    async def stop(self, grace: float) -> None:
        await super().stop(0 * grace)


class AcksBeforeTheCopyIsConfirmed(Settler):
    async def _forward(self, copy: Outgoing, queue: str, link: Link) -> None:
        _left_alone(asyncio.create_task(super()._forward(copy, queue, link)))


class RetriesPastExpiry(Codes):
    def decrypt(self, message: bus.Delivery, event: OtpRequested) -> Delivery:
        delivery = super().decrypt(message, event)
        return replace(delivery, expires_at=delivery.expires_at + timedelta(days=1))


class NewMessageIdForEachSending(LoginCodeMail):
    def compose(self, delivery: Delivery) -> bytes:
        new = f"Message-ID: {make_msgid(domain='login2fa.example')}".encode()
        return re.sub(rb"(?m)^Message-ID: .*?(?=\r$)", new, super().compose(delivery))


class BelievesItsWallClock(DatabaseTime):
    def now(self) -> datetime:
        return datetime.fromtimestamp(cast("Any", database_time).time.time(), UTC)


async def add_in_a_transaction_of_its_own(connection: AsyncConnection, table: Table, event: Event) -> None:
    rows = cast("Transaction", connection)._rows
    async with MemoryDatabase(rows).transaction() as own:
        await _add(own, table, event)


def take_unknown_for_confirmed(task: asyncio.Task[None]) -> BusError | None:
    error = _failure(task)
    return None if isinstance(error, BusUnavailable) else error


@dataclass(frozen=True, slots=True)
class KnownBad:
    """`breaks` are the invariants that it can not keep; which of them goes first is chance."""

    name: str
    breaks: set[str]
    switched_on: Callable[[], AbstractContextManager[Any]]


KNOWN_BAD = (
    KnownBad("ack before send", {"I1"}, lambda: patch("shared.messaging.amqp.bus.AmqpConsumption", AcksBeforeSending)),
    KnownBad(
        "delete before confirm", {"I1", "I4"}, lambda: patch("shared.messaging.relay.Relay", DeletesBeforeConfirm)
    ),
    KnownBad(
        "unknown taken for confirmed",
        {"I1"},
        lambda: patch("shared.messaging.relay._failure", take_unknown_for_confirmed),
    ),
    KnownBad(
        "ack before the retry copy is confirmed",
        {"I1", "I4"},
        lambda: patch("shared.messaging.amqp.bus.Settler", AcksBeforeTheCopyIsConfirmed),
    ),
    KnownBad(
        "event outside the transaction",
        {"I2"},
        lambda: patch("shared.messaging.outbox.add", add_in_a_transaction_of_its_own),
    ),
    KnownBad("retry past expiry", {"I3"}, lambda: patch("services.notifier.app.Codes", RetriesPastExpiry)),
    KnownBad(
        "expiry by the notifier's own clock",
        {"I1", "I3"},
        lambda: patch("services.notifier.app.DatabaseTime", BelievesItsWallClock),
    ),
    KnownBad("claim without a lock", {"I4"}, lambda: patch.object(Rows, "locked", frozenset[int]())),
    KnownBad("SIGTERM without a grace", {"I4"}, lambda: patch("shared.messaging.relay.Relay", StopsAtOnce)),
    KnownBad(
        "a new Message-ID for each sending",
        {"I4"},
        lambda: patch("services.notifier.smtp.LoginCodeMail", NewMessageIdForEachSending),
    ),
)
