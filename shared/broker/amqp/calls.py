"""One way to call the AMQP library, which hangs, cancels and raises in more ways than callers should know.

1. A call ends within its time, even if the library does not let go of a cancelled one (it may wait for room
   in the write queue of a stuck connection).
2. It fails with a `BusError`. The library raises CancelledError in tasks that nobody cancelled when a
   connection gets stuck; here that stays in a task of its own, so a CancelledError from here is always real.
3. No error carries a message with it: the library's own do, body included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aio_pika.exceptions import DeliveryError, PublishError

from shared.broker.bus import BusError, BusUnavailable, Rejected, Unroutable

T = TypeVar("T")

_abandoned: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks weakly


async def answered(call: Coroutine[Any, Any, T], within: float) -> T:
    """Await a call of the library for at most `within` seconds.

    Raises:
        BusError: no answer, or a bad one.
    """
    task = asyncio.create_task(call)
    try:
        await asyncio.wait({task}, timeout=within)
    finally:
        if not task.done():
            _abandon(task)
    if not task.done():
        raise BusUnavailable(f"no answer within {within} s")
    return _result(task)


def _result(task: asyncio.Task[T]) -> T:
    try:
        return task.result()
    except BusError:
        raise
    except asyncio.CancelledError:
        raise BusUnavailable("connection lost") from None
    except PublishError:
        raise Unroutable("no queue is bound for it") from None
    except DeliveryError:
        raise Rejected("refused by the broker") from None
    except Exception as error:
        # Whatever else: refused, reset, closed, a protocol error, a missing exchange.
        raise BusUnavailable(f"{type(error).__name__}: {error}") from error


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it any more: asyncio would log "never retrieved", with its text
