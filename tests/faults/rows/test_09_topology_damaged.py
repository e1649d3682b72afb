"""Row 9: a queue is full; a queue, a binding or the exchange is deleted, or declared otherwise.

Nothing is lost (I1), metrics and readiness show it (I10), and it fails loudly, never silently. What an operator deletes
together with its queue is gone; what is asked for from then on is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_pika.abc import AbstractChannel

from shared.messaging.topology import AUTH, OTP_DELIVERY, events_exchange
from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import SHOWN_WITHIN, Promises, not_confirmed
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.conftest import operator
from tests.polling import eventually
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url", "operator")

QUEUE = OTP_DELIVERY.queue
EXCHANGE = events_exchange(AUTH)
RECOVERED_WITHIN = 15.0

LogLines = Callable[[], list[dict[str, Any]]]


@asynccontextmanager
async def room_for(broker: OwnBroker, messages: int) -> AsyncIterator[None]:
    definition = f'{{"max-length": {messages}}}'
    command = ("set_policy", "full", f"^{QUEUE}$", definition, "--apply-to", "queues")
    await asyncio.to_thread(broker.ctl, *command)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.ctl, "clear_policy", "full")


async def delete(what: str, operator: AbstractChannel) -> None:
    if what == "queue":
        await operator.queue_delete(QUEUE)
    elif what == "binding":
        await (await operator.get_queue(QUEUE)).unbind(EXCHANGE, OTP_DELIVERY.routing_keys[0])
    else:
        await operator.exchange_delete(EXCHANGE)


async def declare_otherwise(what: str, operator: AbstractChannel) -> None:
    await delete(what, operator)
    if what == "queue":
        await operator.declare_queue(QUEUE, durable=True)
    else:
        await operator.declare_exchange(EXCHANGE, "direct", durable=True)


async def test_what_a_full_queue_refuses_waits_for_room_and_comes_once(
    path: CodesPath, promises: Promises, broker: OwnBroker
) -> None:
    failed = not_confirmed()
    async with room_for(broker, 3):
        made = await promises.several(20)
        await eventually(lambda: not_confirmed() > failed, SHOWN_WITHIN)
        assert await path.sql.fetchval("SELECT count(*) FROM auth.outbox") > 0
        await path.start_notifier()
        for promise in made:
            await path.mails.wait_for(promise.email, timeout=PATIENCE)

    await promises.kept()


@pytest.mark.parametrize("what", ["queue", "binding", "exchange"])
async def test_what_is_deleted_comes_back_and_so_does_what_was_asked_for_meanwhile(
    path: CodesPath, promises: Promises, operator: AbstractChannel, log_lines: LogLines, what: str
) -> None:
    await at_work(path)
    await path.stop_notifier()
    failed = not_confirmed()
    await delete(what, operator)

    made = await promises.several(3)
    await eventually(lambda: not_confirmed() > failed, SHOWN_WITHIN)
    await path.start_notifier()
    for promise in made:
        await path.mails.wait_for(promise.email, timeout=RECOVERED_WITHIN)

    assert "outbox round failed" in warnings(log_lines)
    await promises.kept()


async def test_a_queue_deleted_under_its_consumer_comes_back(
    path: CodesPath, promises: Promises, operator: AbstractChannel, log_lines: LogLines
) -> None:
    await at_work(path)
    await delete("queue", operator)
    await promises.several(3)
    await promises.delivered_again(RECOVERED_WITHIN)

    assert "consumer lost" in warnings(log_lines)
    await promises.kept()


@pytest.mark.parametrize("what", ["queue", "exchange"])
async def test_what_is_declared_otherwise_is_not_used_and_told_until_an_operator_deletes_it(
    path: CodesPath, promises: Promises, operator: AbstractChannel, log_lines: LogLines, what: str
) -> None:
    await at_work(path)
    failed = not_confirmed()
    await declare_otherwise(what, operator)
    async with promises.coming_in():
        await eventually(lambda: not_confirmed() > failed, SHOWN_WITHIN)
        if what == "queue":
            await promises.shown("notifier-consumer")
            await eventually(lambda: "topology mismatch, operator needed" in warnings(log_lines))
        await delete(what, operator)
    await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept()


async def at_work(path: CodesPath) -> None:
    """Everybody has declared what they need: a damage in the middle of that is mended unnoticed."""
    await path.start_notifier()
    temporary = await path.code_arrives()

    async def reported() -> bool:
        return await path.status(temporary) == "delivered"

    await eventually(reported, PATIENCE)


def warnings(log_lines: LogLines) -> set[str]:
    return {line["event"] for line in log_lines() if line["level"] in ("warning", "error")}
