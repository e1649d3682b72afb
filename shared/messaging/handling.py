"""Runs a handler and turns each result or error into an outcome."""

from __future__ import annotations

import asyncio
import traceback

import structlog

from shared.messaging.bus import Delivery, GiveUp, Handler, Outcome, Retry
from shared.messaging.topology import MAX_HANDLER_ERRORS
from shared.observability.correlation import correlation_id

log = structlog.get_logger()


async def outcome_of(handler: Handler, delivery: Delivery, queue: str) -> Outcome:
    correlated = correlation_id.set(delivery.correlation_id)
    try:
        return await handler(delivery)
    except asyncio.CancelledError as error:
        # Libraries raise this in tasks that nobody cancelled; only a real cancel leaves the message unsettled.
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        return _failed(error, delivery, queue)
    except Exception as error:  # noqa: BLE001 - a bug in a handler must not stop the consumer
        return _failed(error, delivery, queue)
    finally:
        correlation_id.reset(correlated)


def _failed(error: BaseException, delivery: Delivery, queue: str) -> Outcome:
    log.error(
        "handler failed",
        queue=queue,
        event_id=delivery.event_id,
        event_type=delivery.routing_key,
        attempt=delivery.attempt,
        error=type(error).__name__,
        # Without the error's text: a validation error quotes the body that it rejects.
        traceback="".join(traceback.format_tb(error.__traceback__)),
    )
    reason = f"handler failed: {type(error).__name__}"
    return GiveUp(reason) if delivery.attempt >= MAX_HANDLER_ERRORS else Retry(reason)
