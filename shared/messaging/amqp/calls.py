"""Calls the AMQP library safely.

1. A call ends in time, even if the library ignores its cancellation (it may wait for a stuck connection).
2. It fails with a `BusError`. The library raises CancelledError in tasks that nobody cancelled; from here it is real.
3. No error carries a message body; the library's own errors do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelAccessRefused

from shared.messaging.bus import BusError, BusUnavailable, Rejected, TopologyMismatch, Unroutable

T = TypeVar("T")

_abandoned: set[asyncio.Task[Any]] = set()  # the loop holds tasks weakly


async def answered(call: Coroutine[Any, Any, T], within: float) -> T:
    """Await the library's `call` for at most `within` seconds. Raises `BusError` for no answer or a bad one."""
    task = asyncio.create_task(call)
    try:
        await asyncio.wait({task}, timeout=within)
    finally:
        if not task.done():
            _abandon(task)
    if not task.done():
        raise BusUnavailable(f"no answer within {within} s")
    return _result(task)


async def answered_here(call: Awaitable[T], within: float) -> T:
    """Like `answered`, without a new task: only for calls that end at once when cancelled. Raises `BusError`."""
    try:
        async with asyncio.timeout(within):
            return await call
    except TimeoutError:
        raise BusUnavailable(f"no answer within {within} s") from None
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        raise BusUnavailable("connection lost") from None
    except Exception as error:  # noqa: BLE001 - raised again as a `BusError`
        told = _told(error)
        raise told from told.__cause__


def _result(task: asyncio.Task[T]) -> T:
    try:
        return task.result()
    except asyncio.CancelledError:
        raise BusUnavailable("connection lost") from None
    except Exception as error:  # noqa: BLE001 - raised again as a `BusError`
        told = _told(error)
        raise told from told.__cause__


def _told(error: Exception) -> BusError:
    match error:
        case BusError():
            return error
        case PublishError():
            return Unroutable("no queue is bound for it")
        case DeliveryError():
            return Rejected("refused by the broker")
        case ChannelAccessRefused():
            refused = TopologyMismatch(f"the broker does not permit it to the user of RABBITMQ_URL: {error}")
            refused.__cause__ = error
            return refused
    # Everything else: refused, reset, closed, a protocol error, a missing exchange.
    unavailable = BusUnavailable(f"{type(error).__name__}: {error}")
    unavailable.__cause__ = error
    return unavailable


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # else asyncio logs "never retrieved" with the error's text
