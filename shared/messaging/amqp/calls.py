"""Calls the AMQP library safely.

1. A call ends in time, even if the library ignores its cancellation (it may wait for a stuck connection).
2. It fails with a `BusError`. The library raises CancelledError in tasks that nobody cancelled; from here it is real.
3. No error carries a message body; the library's own errors do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aio_pika.exceptions import DeliveryError, PublishError
from aiormq.exceptions import ChannelAccessRefused

from shared.messaging.bus import BusError, BusUnavailable, Rejected, TopologyMismatch, Unroutable

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()  # the loop holds tasks weakly


async def answered(call: Coroutine[Any, Any, T], within: float) -> T:
    """Await the library's `call` for at most `within` seconds. Raises `BusError` for no answer or a bad one."""
    task = let_run(asyncio.create_task(call))
    try:
        await asyncio.wait({task}, timeout=within)
    finally:
        task.cancel()
    if not task.done():
        raise BusUnavailable(f"no answer within {within} s")
    with _as_bus_errors():
        return task.result()


async def answered_here(call: Awaitable[T], within: float) -> T:
    """Like `answered`, without a new task: only for calls that end at once when cancelled. Raises `BusError`."""
    try:
        async with asyncio.timeout(within):
            with _as_bus_errors():
                return await call
    except TimeoutError:
        raise BusUnavailable(f"no answer within {within} s") from None


@contextmanager
def _as_bus_errors() -> Iterator[None]:
    try:
        yield
    except BusError:
        raise
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        raise BusUnavailable("connection lost") from None
    except PublishError:
        raise Unroutable("no queue is bound for it") from None
    except DeliveryError:
        raise Rejected("refused by the broker") from None
    except ChannelAccessRefused as error:
        raise TopologyMismatch(f"the broker does not permit it to the user of RABBITMQ_URL: {error}") from error
    except Exception as error:  # refused, reset, closed, a protocol error, a missing exchange
        raise BusUnavailable(f"{type(error).__name__}: {error}") from error


def let_run(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """It ends by itself, even if nobody waits for it any longer."""
    _running.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # else asyncio logs "never retrieved" with the error's text
