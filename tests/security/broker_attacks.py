"""What somebody may try on the broker with stolen credentials, and whether the broker lets it pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aio_pika
from aio_pika.exceptions import PublishError
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Basic
from pamqp.common import FieldTable

from shared.messaging.amqp import topology

SIDE_BY_SIDE = 10

Attack = Callable[[Any], Awaitable[object]]
T = TypeVar("T")


class Credentials:
    """One connection of a user; each attack has a channel, because a refusal closes it."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._connection = connection
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)

    async def may(self, attack: Attack) -> bool:
        """Whether the broker carries `attack` out."""
        async with self._turns:
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            try:
                await attack(await channel.get_underlay_channel())
            except ChannelAccessRefused:
                return False
            except PublishError:
                pass  # permitted, though no queue is bound
            await channel.close()
            return True

    async def which(self, attacks: dict[T, Attack]) -> set[T]:
        """Those that the broker carries out."""
        done = await asyncio.gather(*(self.may(attack) for attack in attacks.values()))
        return {name for name, permitted in zip(attacks, done, strict=True) if permitted}


@asynccontextmanager
async def logged_in(url: str) -> AsyncIterator[Credentials]:
    async with await aio_pika.connect(url) as connection:
        yield Credentials(connection)


def publish(exchange: str, routing_key: str, headers: FieldTable | None = None, *, body: bytes = b"forged") -> Attack:
    properties = Basic.Properties(headers=headers or {}, message_type=routing_key)
    return lambda channel: channel.basic_publish(
        body, exchange=exchange, routing_key=routing_key, mandatory=True, properties=properties
    )


def get(queue: str) -> Attack:
    return lambda channel: channel.basic_get(queue, no_ack=False)


def consume(queue: str) -> Attack:
    async def until_it_runs(channel: Any) -> None:
        async def keep(_: object) -> None: ...

        await channel.basic_consume(queue, keep)

    return until_it_runs


def purge(queue: str) -> Attack:
    return lambda channel: channel.queue_purge(queue)


def damage_of(names: Iterable[str]) -> dict[str, Attack]:
    """Every way to make, change or remove something: queues with these names, and the exchanges that there are."""
    return {
        f"{what} {name}": attack
        for name in names
        for what, attack in {
            "declare": _declared(name),
            "declare exclusive": _exclusive(name),
            "dead-letter from": _dead_lettering(name),
            "delete": _deleted(name),
            **{f"bind to {exchange}": _bound(name, exchange) for exchange in (*topology.exchanges(), "amq.topic")},
            **{f"unbind from {exchange}": _unbound(name, exchange) for exchange in topology.exchanges()},
        }.items()
    } | {
        f"{what} {exchange}": attack
        for exchange in topology.exchanges()
        for what, attack in {
            "declare exchange": _exchange_declared(exchange),
            "delete exchange": _exchange_deleted(exchange),
            **{f"bind {other} to": _exchange_bound(other, exchange) for other in topology.exchanges()},
        }.items()
    }


def _declared(queue: str) -> Attack:
    arguments = topology.queues().get(queue)
    return lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments)


def _exclusive(queue: str) -> Attack:
    return lambda channel: channel.queue_declare(f"{queue}.mine", exclusive=True)


def _dead_lettering(queue: str) -> Attack:
    arguments = {"x-dead-letter-exchange": "users.events", "x-dead-letter-routing-key": "users.account_changed.v1"}
    return lambda channel: channel.queue_declare(f"{queue}.of_mine", arguments=arguments)


def _deleted(queue: str) -> Attack:
    return lambda channel: channel.queue_delete(queue)


def _bound(queue: str, exchange: str) -> Attack:
    return lambda channel: channel.queue_bind(queue, exchange, "#")


def _unbound(queue: str, exchange: str) -> Attack:
    return lambda channel: channel.queue_unbind(queue, exchange, queue)


def _exchange_declared(exchange: str) -> Attack:
    return lambda channel: channel.exchange_declare(exchange, exchange_type="topic", durable=True)


def _exchange_deleted(exchange: str) -> Attack:
    return lambda channel: channel.exchange_delete(exchange)


def _exchange_bound(destination: str, source: str) -> Attack:
    return lambda channel: channel.exchange_bind(destination, source, routing_key="#")
