"""Declares the topology for an administrator of the broker: `login2fa topology`."""

from __future__ import annotations

from shared.messaging.amqp.link import ANSWER_SECONDS, Broker


async def prepare(url: str) -> None:
    """Safe to repeat. Raises `BusError`: no broker, a queue with other arguments, or no permission to declare."""
    link = await Broker(url, "login2fa", heartbeat=10, connect_timeout=ANSWER_SECONDS).connect("topology")
    try:
        await link.declare()
    finally:
        await link.close()
