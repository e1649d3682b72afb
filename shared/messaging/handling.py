"""Both buses run handlers with this: it turns each result or error into an outcome, and ends those that run."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from shared.messaging.bus import Delivery, GiveUp, Handler, Outcome, Retry
from shared.messaging.topology import MAX_HANDLER_ERRORS
from shared.observability import tracing
from shared.observability.correlation import correlation_id

log = structlog.get_logger()

CANCEL_SECONDS = 1.0

# A trace with an older message would never look complete.
_OLDEST_IN_ITS_TRACE = timedelta(minutes=15)


async def outcome_of(handler: Handler, delivery: Delivery, queue: str) -> Outcome:
    correlated = correlation_id.set(delivery.correlation_id)
    try:
        attempt = {"login2fa.attempt": delivery.attempt}
        with tracing.message("process", queue, delivery.traceparent, attempt, apart=_is_apart(delivery)) as span:
            outcome = await handler(delivery)
            if span is not None:
                span.note({"login2fa.outcome": type(outcome).__name__})
            return outcome
    except asyncio.CancelledError as error:
        # Libraries raise this in tasks that nobody cancelled; only a real cancel leaves the message unsettled.
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        return _failed(error, delivery, queue)
    except Exception as error:  # noqa: BLE001 - a bug in a handler must not stop the consumer
        return _failed(error, delivery, queue)
    finally:
        correlation_id.reset(correlated)


def _is_apart(delivery: Delivery) -> bool:
    """Whether it is handled in a trace of its own."""
    published = delivery.published_at
    return delivery.replayed or (published is not None and datetime.now(UTC) - published > _OLDEST_IN_ITS_TRACE)


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


def log_given_up(delivery: Delivery, queue: str, reason: str) -> None:
    log.error(
        "message given up",
        queue=queue,
        event_id=delivery.event_id,
        event_type=delivery.routing_key,
        attempts=delivery.attempt,
        reason=reason,
    )


async def drain(running: Collection[asyncio.Task[Any]], grace: float) -> int:
    """Give the tasks `grace` seconds to end, then cancel the others; return how many these were."""
    if running:
        await asyncio.wait(running, timeout=grace)
    leftover = [task for task in running if not task.done()]
    for task in leftover:
        task.cancel()
    if leftover:
        await asyncio.wait(leftover, timeout=CANCEL_SECONDS)
    return len(leftover)
