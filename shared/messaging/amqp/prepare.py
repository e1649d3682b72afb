"""Declares the topology on behalf of an administrator of the broker: `login2fa topology`."""

from __future__ import annotations

from shared.messaging.amqp.link import ANSWER_SECONDS, Broker


async def prepare(url: str) -> None:
    """Safe to repeat; what is there is compared.

    Raises:
        BusError: no broker, a queue with other arguments, or the user may not declare.
    """
    link = await Broker(url, "login2fa", heartbeat=10, connect_timeout=ANSWER_SECONDS).connect("topology")
    try:
        await link.declare()
    finally:
        await link.close()
