"""A subscription on RabbitMQ that reconnects by itself.

1. Handlers run in our own tasks: the library cancels its callbacks when the connection drops, in the middle of a mail.
   Such a handler finishes, but its ack is lost: the message comes again, a duplicate that at-least-once allows.
2. The ack comes last: after the handler, and after the confirm of the copy for the retry or dead-letter queue.
3. `live` turns false within WATCH_SECONDS + SILENCE_SECONDS of any broker failure. Another node is tried then.
4. A process that was frozen asks the broker first, before it handles or settles a message.
5. A link grows old: then another one begins to consume before the old one ends, so that no handler is interrupted.
6. Only our own node is asked whether it lives. While the leader of a queue is frozen its consumers count 0, also those
   that the next leader will serve.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from shared.messaging.amqp.attention import Attention
from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.calls import let_run
from shared.messaging.amqp.link import ANSWER_SECONDS, DECLARE_SECONDS, SILENCE_SECONDS, Link
from shared.messaging.amqp.messages import Arrived, received
from shared.messaging.amqp.settle import Settler
from shared.messaging.backoff import pauses, wait
from shared.messaging.bus import BusError, Delivery, Handler, TopologyMismatch
from shared.messaging.handling import drain, outcome_of
from shared.messaging.topology import Subscription, returns_exchange

log = structlog.get_logger()

WATCH_SECONDS = 3.0
REACH_SECONDS = 1.0
STEADY_SECONDS = 5.0
ASLEEP_SECONDS = WATCH_SECONDS + SILENCE_SECONDS + 1.0  # longer than the gap between two rounds of `_watch`


class AmqpConsumption:
    def __init__(
        self, broker: Broker, subscription: Subscription, handler: Handler, settler: Settler, concurrency: int
    ) -> None:
        self._broker = broker
        self._queue = subscription.queue
        self._returns = returns_exchange(subscription.consumer)
        self._handler = handler
        self._settler = settler
        self._concurrency = concurrency
        # Prefetch limits one connection only: after a reconnect, old handlers may still run.
        self._slots = asyncio.Semaphore(concurrency)
        self._attention = Attention(ASLEEP_SECONDS)
        self._link: Link | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._reached = asyncio.Event()
        self._verdict: asyncio.Future[TopologyMismatch | None] = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"consume {self._queue}")

    @property
    def live(self) -> bool:
        return self._link is not None and not self._link.lost.is_set() and not self._stopping

    async def first_attempt(self) -> None:
        """Wait for the first attempt if the broker is reachable at once. Raises `TopologyMismatch`."""
        await wait(REACH_SECONDS, self._reached)
        if self._reached.is_set():
            await asyncio.wait({self._verdict}, timeout=DECLARE_SECONDS + ANSWER_SECONDS)
        if self._verdict.done() and (mismatch := self._verdict.result()):
            raise mismatch

    async def stop(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        self._stopping = True
        self._supervisor.cancel()
        await asyncio.wait({self._supervisor})
        link, self._link = self._link, None
        if link is not None and grace > 0:
            try:
                await link.stop_deliveries(self._queue)
            except BusError as error:
                log.warning("consumer not cancelled", queue=self._queue, error=str(error))
        if cancelled := await drain(self._in_flight, max(0, deadline - time.monotonic())):
            log.warning("handlers cancelled", queue=self._queue, count=cancelled)
        for task in self._retiring:
            task.cancel()
        if link is not None:
            await link.close()  # the broker requeues unacknowledged messages

    async def _supervise(self) -> None:
        waits = pauses()
        while True:
            steady_from = time.monotonic() + STEADY_SECONDS
            try:
                await self._consume_until_lost()
            except TopologyMismatch as mismatch:
                log.error(  # noqa: TRY400 - repeated every few seconds, a traceback would bury the text
                    "topology mismatch, operator needed", queue=self._queue, error=str(mismatch)
                )
                self._decide(mismatch)
            except BusError as error:
                log.warning("broker not available", queue=self._queue, error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("consumer failed", queue=self._queue)
            self._decide(None)
            if time.monotonic() > steady_from:
                waits = pauses()
            await asyncio.sleep(next(waits))

    def _decide(self, verdict: TopologyMismatch | None) -> None:
        """End the first attempt, so that `consume` returns."""
        self._reached.set()
        if not self._verdict.done():
            self._verdict.set_result(verdict)

    async def _consume_until_lost(self) -> None:
        self._link = link = await self._attached()
        self._decide(None)
        try:
            while not link.lost.is_set():
                await self._watch(link)
                if link.old and not link.lost.is_set():
                    self._link = link = await self._renewed(link)
            log.warning("consumer lost", queue=self._queue)
        finally:
            # `stop` still needs the connection to acknowledge messages in flight.
            if not self._stopping:
                self._link = None
                self._broker.avoid(link)
                link.abandon()

    async def _attached(self) -> Link:
        link = await self._broker.connect(f"consumer {self._queue}")
        try:
            self._reached.set()
            await link.ensure(exchange=self._returns, queue=self._queue)
            await link.open_channel()
            self._attention.begin()
            await self._attach(link)
        except BaseException:
            self._broker.avoid(link)
            link.abandon()
            raise
        log.info("consuming", queue=self._queue)
        return link

    async def _attach(self, link: Link) -> None:
        """It takes as long as the queue has no leader. Raises `BusUnavailable` if our own node is silent meanwhile."""
        attaching = let_run(asyncio.create_task(link.consume(self._queue, self._receiver(link), self._concurrency)))
        try:
            while not (await asyncio.wait({attaching}, timeout=WATCH_SECONDS))[0]:
                await link.ensure(exchange=self._returns)
            await attaching
        finally:
            attaching.cancel()

    async def _watch(self, link: Link) -> None:
        """Return when the link is lost or old. Raises `BusError` if its node is silent."""
        while not (link.lost.is_set() or link.old):
            self._attention.awake()
            await wait(WATCH_SECONDS, link.lost)
            if not link.lost.is_set():
                await link.ensure(exchange=self._returns)

    async def _renewed(self, old: Link) -> Link:
        try:
            new = await self._attached()
        except BusError as error:
            log.warning("broker connection not renewed", queue=self._queue, error=str(error))
            old.keep()
            return old
        retiring = let_run(asyncio.create_task(self._retire(old)))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        return new

    async def _retire(self, link: Link) -> None:
        try:
            await link.stop_deliveries(self._queue)
            if self._in_flight:
                await asyncio.wait(set(self._in_flight))
        finally:
            link.abandon()

    def _receiver(self, link: Link) -> Callable[[Arrived], Awaitable[None]]:
        async def receive(message: Arrived) -> None:
            delivery = received(message, waited_for=self._attention.caught_up)
            task = asyncio.create_task(self._handle(delivery, message, link))
            self._in_flight.add(task)
            self._notice_no_room()
            task.add_done_callback(self._forget)

        return receive

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._notice_no_room()
        self._in_flight.discard(task)

    def _notice_no_room(self) -> None:
        if len(self._in_flight) >= self._concurrency:
            self._attention.begin()

    async def _handle(self, delivery: Delivery, message: Arrived, link: Link) -> None:
        async with self._slots:
            if link.lost.is_set() or self._stopping or not await self._still_ours(link):
                return  # the broker requeues it
            outcome = await outcome_of(self._handler, delivery, self._queue)
            if await self._still_ours(link):  # else the copy is a duplicate: another consumer has the message
                await self._settler.settle(outcome, delivery, message, link)

    async def _still_ours(self, link: Link) -> bool:
        """After a freeze the broker may have given the message to another consumer: we sent no heartbeat."""
        if not self._attention.asleep:
            return True
        try:
            await link.ensure(exchange=self._returns)
        except BusError:
            return False
        return not link.lost.is_set()
