"""Publishes with confirms on a separate connection, which is opened when needed and again when lost.

A broker short of memory or disk stops reading from publishing connections: acks on the same one would be stuck.
"""

from __future__ import annotations

import asyncio

import structlog
from aio_pika.exceptions import PublishError

from shared import failpoints
from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.calls import answered_here, let_run
from shared.messaging.amqp.link import Link
from shared.messaging.amqp.messages import Outgoing
from shared.messaging.bus import BusError, BusUnavailable, TopologyMismatch

log = structlog.get_logger()

PUBLISH_SECONDS = 10.0
DOUBT_SECONDS = 1.0  # without a confirm, after which the broker is asked whether it answers
# Without a confirm from a node of several that answers: a channel whose first message went to a leader that is frozen
# never learns of the next leader. A new channel does, once `net_ticktime` is over.
LEADERLESS_SECONDS = 4.0


class Publisher:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._doubted = False  # if true, the broker must answer before the next message
        self._damaged = False  # if true, declare the topology again, if permitted
        self._closed = False
        self._retired: list[Link] = []
        self._abandoning: asyncio.Task[None] | None = None

    async def publish(self, message: Outgoing, *, exchange: str, routing_key: str, mandatory: bool = True) -> None:
        """Return once the broker has confirmed it; may run concurrently. Raises `BusError` if not confirmed."""
        try:
            await answered_here(self._publish(message, exchange, routing_key, mandatory), PUBLISH_SECONDS)
        except (BusUnavailable, asyncio.CancelledError):
            # A frozen broker accepts later what is written now: each further attempt would be a duplicate.
            self._doubted = True
            raise

    async def _publish(self, message: Outgoing, exchange: str, routing_key: str, mandatory: bool) -> None:
        link = await self._ready(exchange)
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(DOUBT_SECONDS, self._doubt, link, exchange)]
        if self._broker.several:
            timers.append(loop.call_later(LEADERLESS_SECONDS, self._abandon, link))
        try:
            await link.publish(message, exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        except PublishError:
            # Somebody deleted a queue or a binding.
            log.warning("message unroutable", exchange=exchange, routing_key=routing_key)
            self._doubted = self._damaged = True
            raise
        finally:
            for timer in timers:
                timer.cancel()
        failpoints.reach("publisher: confirmed")

    def _doubt(self, link: Link, exchange: str) -> None:
        if self._link is link and not self._closed:
            self._doubted = True
            self._begin_opening(exchange)

    def _abandon(self, link: Link) -> None:
        """Not during an alarm: each new link would publish the same again when it is over."""

        async def abandon() -> None:
            if not await link.blocked() and not link.lost.is_set():
                log.warning("no confirm, another channel is tried", link="publisher")
                link.abandon()  # messages in flight fail, and are published again

        if self._link is link and not link.lost.is_set() and self._abandoning is None:
            self._abandoning = let_run(asyncio.create_task(abandon()))
            self._abandoning.add_done_callback(self._abandoned)

    def _abandoned(self, _: asyncio.Task[None]) -> None:
        self._abandoning = None

    async def _ready(self, exchange: str) -> Link:
        if self._closed:
            raise BusUnavailable("closed")
        link = self._link
        if link is not None and not link.lost.is_set() and not self._doubted:
            if link.old:
                self._begin_opening(exchange)
            return link
        # Shielded: one caller's time-out must not cancel the attempt that others wait for.
        return await asyncio.shield(self._begin_opening(exchange))

    def _begin_opening(self, exchange: str) -> asyncio.Task[Link]:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(exchange), name="open publisher link")
            self._opening.add_done_callback(self._opened)
        return self._opening

    async def _open(self, exchange: str) -> Link:
        link = self._link
        if link is not None and not link.lost.is_set():
            await self._examine(link, exchange)
        # Checked last: the loss may show only during `_examine`.
        if link is None or link.lost.is_set():
            if link is not None:
                log.warning("broker connection lost", link="publisher")
                self._link = None
                self._broker.avoid(link)
                link.abandon()
            link = await self._new_link(exchange)
        elif link.old:
            link = await self._renewed(link, exchange)
        self._doubted = False
        self._link = link
        return link

    async def _examine(self, link: Link, exchange: str) -> None:
        """Abandon a link that does not answer. Repair a damaged topology if possible; intact routes go on in any case.

        With an alarm nothing is published, and each new link would publish the same again when the alarm is over.
        """
        damaged, self._damaged = self._damaged, False
        if not damaged:
            try:
                await link.ensure(exchange=exchange)
            except BusUnavailable:
                if not link.lost.is_set() and await link.blocked():
                    raise
                link.abandon()  # messages in flight fail, and are published again elsewhere
            return
        try:
            await link.declare()
        except TopologyMismatch as mismatch:
            log.error(  # noqa: TRY400 - a traceback would bury the text
                "topology damaged, operator needed", error=str(mismatch)
            )

    async def _new_link(self, exchange: str) -> Link:
        link = await self._broker.connect("publisher")
        try:
            await link.ensure(exchange=exchange)
            await link.open_channel()
        except BaseException:
            self._broker.avoid(link)
            link.abandon()
            raise
        return link

    async def _renewed(self, old: Link, exchange: str) -> Link:
        """Messages in flight on the old link are confirmed there."""
        try:
            new = await self._new_link(exchange)
        except BusError as error:
            log.warning("broker connection not renewed", link="publisher", error=str(error))
            old.keep()
            return old
        self._retired.append(old)
        asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self._close_retired)
        return new

    def _close_retired(self) -> None:
        """Not before the end of every publish that began on it."""
        self._retired.pop(0).abandon()

    def _opened(self, task: asyncio.Task[Link]) -> None:
        self._opening = None
        if not task.cancelled() and (error := task.exception()):
            log.warning("broker not available", link="publisher", error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Publishes in flight fail with `BusUnavailable`."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        for link in filter(None, (self._link, *self._retired)):
            await link.close()
