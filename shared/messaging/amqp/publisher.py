"""Publishes with confirms on a separate connection, which is opened when needed and again when lost.

A broker short of memory or disk stops reading from publishing connections: acks on the same one would be stuck.
"""

from __future__ import annotations

import asyncio

import structlog
from aio_pika.exceptions import PublishError

from shared import failpoints
from shared.messaging.amqp.calls import answered_here
from shared.messaging.amqp.link import Broker, Link
from shared.messaging.amqp.messages import Outgoing
from shared.messaging.bus import BusUnavailable, TopologyMismatch

log = structlog.get_logger()

PUBLISH_SECONDS = 10.0


class Publisher:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._doubted = False  # if true, the broker must answer before the next message
        self._damaged = False  # if true, declare the topology again, if permitted
        self._closed = False

    async def publish(self, message: Outgoing, *, exchange: str, routing_key: str, mandatory: bool = True) -> None:
        """Return once the broker has confirmed it; may run concurrently. Raises `BusError` if not confirmed."""
        try:
            await answered_here(self._publish(message, exchange, routing_key, mandatory), PUBLISH_SECONDS)
        except (BusUnavailable, asyncio.CancelledError):
            # A frozen broker accepts later what is written now: each further attempt would be a duplicate.
            self._doubted = True  # the link stays open until its heartbeat fails: other messages are in flight
            raise

    async def _publish(self, message: Outgoing, exchange: str, routing_key: str, mandatory: bool) -> None:
        link = await self._ready(exchange)
        try:
            await link.publish(message, exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        except PublishError:
            # Somebody deleted a queue or a binding.
            log.warning("message unroutable", exchange=exchange, routing_key=routing_key)
            self._doubted = self._damaged = True
            raise
        failpoints.reach("publisher: confirmed")

    async def _ready(self, exchange: str) -> Link:
        if self._closed:
            raise BusUnavailable("closed")
        link = self._link
        if link is not None and not link.lost.is_set() and not self._doubted:
            return link
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(exchange), name="open publisher link")
            self._opening.add_done_callback(self._opened)
        # Shielded: one caller's time-out must not cancel the attempt that others wait for.
        return await asyncio.shield(self._opening)

    async def _open(self, exchange: str) -> Link:
        link = self._link
        if link is not None and not link.lost.is_set():
            await self._examine(link, exchange)
        # Checked last: the loss may show only during `_examine`.
        if link is None or link.lost.is_set():
            if link is not None:
                log.warning("broker connection lost", link="publisher")
                self._link = None
                await link.close()
            link = await self._new_link(exchange)
        self._doubted = False
        self._link = link
        return link

    async def _examine(self, link: Link, exchange: str) -> None:
        """Check that the broker answers. Repair a damaged topology if possible; intact routes go on in any case."""
        damaged, self._damaged = self._damaged, False
        if not damaged:
            await link.ensure(exchange=exchange)
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
            await link.close()
            raise
        return link

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
        if self._link is not None:
            await self._link.close()
