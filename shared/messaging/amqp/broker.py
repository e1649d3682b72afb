"""Finds a node of the broker that answers.

1. Addresses are tried in a new random order each time, so that the connections of all processes spread over the nodes.
2. An address that failed is tried last for a while: a frozen node accepts a connection, and then says nothing.
"""

from __future__ import annotations

import random
import time

from aio_pika import Connection
from aio_pika.connection import make_url
from yarl import URL

from shared.messaging.amqp.calls import answered
from shared.messaging.amqp.link import Link, keep_bodies_out_of_the_log
from shared.messaging.bus import BusUnavailable

CONNECT_SECONDS = 3.0
AVOID_SECONDS = 60.0


class Broker:
    """Operators see `name` on the connections. A dead link is noticed after 4 times `heartbeat` seconds."""

    def __init__(self, *urls: str, name: str = "login2fa", heartbeat: int = 10) -> None:
        self._urls = [make_url(url, heartbeat=heartbeat) for url in urls]
        self._name = name
        self._failed_at: dict[URL, float] = {}

    @property
    def several(self) -> bool:
        return len(self._urls) > 1

    async def connect(self, purpose: str) -> Link:
        """Return a link without a channel. Raises `BusUnavailable`, after `CONNECT_SECONDS` per address at most."""
        keep_bodies_out_of_the_log()
        errors: list[str] = []
        for url in self._order():
            try:
                return await self._connect(url, purpose)
            except BusUnavailable as error:
                self._failed_at[url] = time.monotonic()
                errors.append(f"{url.host}:{url.port}: {error}")
        raise BusUnavailable("; ".join(errors))

    def avoid(self, link: Link) -> None:
        """Try the address of `link` last for a while."""
        self._failed_at[link.url] = time.monotonic()

    def _order(self) -> list[URL]:
        recent = time.monotonic() - AVOID_SECONDS
        failures = {url: at for url, at in self._failed_at.items() if at > recent}
        return sorted(random.sample(self._urls, len(self._urls)), key=lambda url: failures.get(url, 0))

    async def _connect(self, url: URL, purpose: str) -> Link:
        link = Link(Connection(url, client_properties={"connection_name": f"{self._name} {purpose}"}), url)
        try:
            await answered(link.connect(), CONNECT_SECONDS)
        except BaseException:
            link.abandon()  # else its destructor starts a task later
            raise
        return link


async def declare_topology(url: str) -> None:
    """For an administrator; safe to repeat. Raises `BusError`, also `TopologyMismatch`."""
    link = await Broker(url).connect("topology")
    try:
        await link.declare()
    finally:
        await link.close()
