"""A queue of somebody's own for the audit trail, as docs/audit.md says: it gets the events, and can stop nothing."""

from __future__ import annotations

from collections.abc import Callable

from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

from shared.messaging.amqp import AmqpBus
from shared.messaging.bus import Message
from shared.messaging.topology import AUTH, OTP_DELIVERY, events_exchange
from tests.polling import eventually
from tests.recording import Recorder, otp_message


def audited(number: int) -> Message:
    return Message(
        routing_key="auth.audit.v1", body=b"{}", event_id=f"act {number}", correlation_id="c", mandatory=False
    )


async def test_a_queue_that_is_bound_gets_the_trail_and_one_that_is_full_holds_up_nothing(
    new_bus: Callable[..., AmqpBus], operator: AbstractChannel
) -> None:
    bus, codes = new_bus(), Recorder()
    await bus.consume(OTP_DELIVERY.queue, codes, concurrency=1)
    full: FieldTable = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = await operator.declare_queue("audit", arguments=full, exclusive=True)
    await queue.bind(events_exchange(AUTH), "auth.audit.v1")

    for number in range(4):
        await bus.publish(audited(number))
    await bus.publish(otp_message("a code"))

    await eventually(lambda: codes.event_ids == {"a code"})
    first = await queue.get(no_ack=True)
    assert first.headers["x-event-id"] == "act 0"
