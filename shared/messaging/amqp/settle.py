"""Carries out a handler's outcome on RabbitMQ: first the confirmed copy, then the ack."""

from __future__ import annotations

import structlog

from shared import failpoints
from shared.messaging.amqp.calls import answered_here
from shared.messaging.amqp.link import ANSWER_SECONDS, Link
from shared.messaging.amqp.messages import Arrived, Outgoing, for_dead_letters, for_retry
from shared.messaging.amqp.publisher import Publisher
from shared.messaging.backoff import pauses, wait
from shared.messaging.bus import BusError, Delivery, Done, GiveUp, Outcome, Retry
from shared.messaging.handling import GIVEN_UP, log_given_up
from shared.messaging.topology import Subscription, put_off_delay, retry_delay, returns_exchange

log = structlog.get_logger()


class Settler:
    def __init__(self, publisher: Publisher, subscription: Subscription) -> None:
        self._publisher = publisher
        self._subscription = subscription
        self._returns = returns_exchange(subscription.consumer)

    async def settle(self, outcome: Outcome, delivery: Delivery, message: Arrived, link: Link) -> None:
        match outcome:
            case Done():
                pass
            case Retry():
                delay = retry_delay(delivery.attempt) if outcome.tried else put_off_delay(delivery.put_off)
                await self._forward(for_retry(delivery, outcome), self._subscription.retry_queue(delay), link)
            case GiveUp(reason):
                log_given_up(delivery, self._subscription.queue, reason)
                await self._forward(for_dead_letters(delivery, reason), self._subscription.dead_queue, link)
                GIVEN_UP.labels(self._subscription.queue).inc()
        try:
            await answered_here(link.acknowledge(message), ANSWER_SECONDS)
        except BusError as error:
            log.warning("acknowledgement lost", event_id=delivery.event_id, error=str(error))

    async def _forward(self, copy: Outgoing, queue: str, link: Link) -> None:
        """Publish until confirmed or the link is lost: a requeue would run the handler again without a pause."""
        waits = pauses()
        while not link.lost.is_set():
            try:
                await self._publisher.publish(copy, exchange=self._returns, routing_key=queue)
            except BusError as error:
                log.warning("copy not accepted", queue=queue, error=f"{type(error).__name__}: {error}")
                await wait(next(waits), link.lost)
            else:
                failpoints.reach("settler: copied")
                return
