"""The processes of the event path, each with its own connections and tasks, so that one can die without the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from services.auth.tables import outbox
from services.notifier import app as notifier
from services.notifier.settings import NotifierSettings
from shared.messaging import relay
from shared.messaging.amqp import AmqpBus
from shared.messaging.signed import SignedBus
from tests import edge_keys
from tests.model.broker import MemoryRabbitMQ
from tests.model.connections import Incoming, MemoryConnection
from tests.model.mail_server import MemoryMailServer
from tests.model.outbox_rows import MemoryDatabase, Rows
from tests.model.simulated_time import Owner, SimulatedLoop, this_process

GRACE = 20.0
# Polls five times less often than in production: the model of an idle hour would be nothing but polls.
PACE = relay.Pace(poll=5.0)


class Process(Owner):
    """`main` runs until `stop` asks it to end, or `kill` leaves it no time to."""

    def __init__(self, name: str, loop: SimulatedLoop, broker: MemoryRabbitMQ) -> None:
        super().__init__()
        self.name = name
        self.alive = False
        self._loop = loop
        self._broker = broker
        self._connections: list[MemoryConnection] = []
        self._sigterm = asyncio.Event()
        self._main: asyncio.Task[None] | None = None

    def connection(self) -> MemoryConnection:
        self._connections.append(MemoryConnection(self._broker, reachable=lambda: self.alive))
        return self._connections[-1]

    def owns(self, connection: object) -> bool:
        return connection in self._connections

    @property
    def died(self) -> BaseException | None:
        """Of what, if nobody killed it."""
        ended = self.alive and self._main is not None and self._main.done()
        return self._main.exception() if ended and self._main is not None else None

    @property
    def holds_messages(self) -> bool:
        return any(each.unacknowledged for each in self._connections)

    def start(self) -> None:
        self.alive = True
        self.wall_clock_error = 0.0
        self._sigterm = asyncio.Event()
        context = copy_context()
        context.run(this_process.set, self)
        self._main = self._loop.create_task(self.main(self._sigterm), name=self.name, context=context)

    def main(self, sigterm: asyncio.Event) -> Coroutine[Any, Any, None]:
        raise NotImplementedError

    def stop(self) -> asyncio.Task[None]:
        """SIGTERM; the task ends when the process has."""
        assert self._main is not None
        self._sigterm.set()
        self._main.add_done_callback(lambda _: self._has_ended())
        return self._main

    def _has_ended(self) -> None:
        self.alive = False

    def cut(self) -> list[Incoming]:
        """Its connections to the broker are gone; what it had not acknowledged is somebody else's again."""
        return [message for each in self._connections for message in each.lose()]

    def kill(self) -> list[Incoming]:
        """SIGKILL: nothing that its code does in its last moments reaches anybody."""
        self.alive = False
        returned = self.cut()
        while self.tasks:
            for task in tuple(self.tasks):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
        return returned


class AuthReplica(Process):
    """As far as it carries codes: the outbox of its database, and the relay."""

    def __init__(self, name: str, loop: SimulatedLoop, broker: MemoryRabbitMQ, rows: Rows) -> None:
        super().__init__(name, loop, broker)
        self.database = MemoryDatabase(rows)

    async def main(self, sigterm: asyncio.Event) -> None:
        bus = AmqpBus("amqp://model", name=self.name)
        carrier = relay.Relay("auth", self.database, outbox, SignedBus(bus, edge_keys.ALL), PACE)
        carrier.start()
        await sigterm.wait()
        await carrier.stop(GRACE)
        await bus.close()

    def cut_from_database(self) -> list[str]:
        """Its transactions are rolled back; the events of the rows that they had claimed."""
        return [str(row.event_id) for row in self.database.lose_connections()]


class Notifier(Process):
    def __init__(
        self,
        name: str,
        loop: SimulatedLoop,
        broker: MemoryRabbitMQ,
        settings: NotifierSettings,
        mail_server: MemoryMailServer,
    ) -> None:
        super().__init__(name, loop, broker)
        self._settings = settings
        self.mail_server = mail_server

    async def main(self, sigterm: asyncio.Event) -> None:
        bus = AmqpBus("amqp://model", name=self.name)
        async with notifier.running(self._settings, bus):
            await sigterm.wait()
        await bus.close()
