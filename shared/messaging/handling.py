"""Both buses run handlers with this: it turns each result or error into an outcome, and ends those that run."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from shared.messaging.bus import Delivery, Done, GiveUp, Handler, Outcome, Retry
from shared.messaging.topology import MAX_HANDLER_ERRORS
from shared.observability import tracing
from shared.observability.correlation import correlation_id

log = structlog.get_logger()

CANCEL_SECONDS = 1.0

# A trace with an older message would never look complete.
_OLDEST_IN_ITS_TRACE = timedelta(minutes=15)

LIVE = Gauge("login2fa_consumer_live", "1 while this process receives the messages of the queue.", ["queue"])
HANDLED = Histogram(
    "login2fa_consumer_handle_seconds",
    "Time to handle one message, and what then became of it.",
    ["queue", "outcome"],
    buckets=(0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
GIVEN_UP = Counter("login2fa_given_up_total", "Messages put among the dead letters, by their work queue.", ["queue"])


def initialise(queue: str) -> None:
    """See `SignedBus.initialise`."""
    LIVE.labels(queue)
    GIVEN_UP.labels(queue)
    _timers(queue)


def watch(queue: str, is_live: Callable[[], bool]) -> None:
    LIVE.labels(queue).set_function(is_live)


@cache
def _timers(queue: str) -> dict[str, Histogram]:
    return {outcome: HANDLED.labels(queue, outcome) for outcome in ("done", "retry", "put_off", "given_up")}


def _word(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "done"
        case Retry(tried=tried):
            return "retry" if tried else "put_off"
        case GiveUp():
            return "given_up"


async def outcome_of(handler: Handler, delivery: Delivery, queue: str) -> Outcome:
    """Raises only a real cancellation."""
    began = time.perf_counter()
    outcome = await _outcome(handler, delivery, queue)
    _timers(queue)[_word(outcome)].observe(time.perf_counter() - began)
    return outcome


async def _outcome(handler: Handler, delivery: Delivery, queue: str) -> Outcome:
    correlated = correlation_id.set(delivery.correlation_id)
    try:
        attempt = {"login2fa.attempt": delivery.attempt}
        with tracing.message("process", queue, delivery.traceparent, attempt, apart=_is_apart(delivery)) as span:
            outcome = await handler(delivery)
            if span is not None:
                span.note({"login2fa.outcome": _word(outcome)})
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
