"""An event loop whose clock moves only when nothing is left to do, and then at once to the next timer.

So the real code keeps its own pauses, time-outs and polls, and a model of ten minutes takes milliseconds. The loop
gives every task to the simulated process that it was started in: a process that is killed takes its tasks along.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any
from unittest.mock import patch

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
INSTANT = 0.001

# Whose code this clock rules. Everything else keeps the clock of the machine.
_RULED = ("shared.", "services.notifier.")


class Owner:
    """Has the tasks that were started while it was `this_process`, and by those tasks, and so on."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.wall_clock_error = 0.0  # seconds


this_process: ContextVar[Owner | None] = ContextVar("this_process", default=None)


class _NothingToWaitFor(selectors.SelectSelector):
    """Its `select` never waits: it moves the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and no timer will end it"
        self.now += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NothingToWaitFor()
        super().__init__(self._clock)
        self.set_task_factory(_owned)  # type: ignore[arg-type] # typeshed knows no factory that takes a context

    def time(self) -> float:
        return self._clock.now

    def pass_time(self, seconds: float = INSTANT) -> None:
        """Everything that is due in this time happens, in its order."""
        self.run_until_complete(asyncio.sleep(seconds))

    @property
    def moment(self) -> datetime:
        return BEGIN + timedelta(seconds=self._clock.now)


def _owned(
    loop: asyncio.AbstractEventLoop, call: Coroutine[Any, Any, Any], *, context: Context | None = None
) -> asyncio.Task[Any]:
    task = asyncio.Task(call, loop=loop, context=context)
    owner = context.get(this_process) if context else this_process.get()
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task


class _DatetimeType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class _SimulatedDatetime(datetime, metaclass=_DatetimeType):
    loop: SimulatedLoop

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # not a _SimulatedDatetime
        owner = this_process.get()
        error = owner.wall_clock_error if owner else 0.0
        return (cls.loop.moment + timedelta(seconds=error)).astimezone(tz)


class _SimulatedTime(ModuleType):
    @staticmethod
    def monotonic() -> float:
        return _SimulatedDatetime.loop.time()

    @staticmethod
    def perf_counter() -> float:
        return _SimulatedDatetime.loop.time()

    @staticmethod
    def time() -> float:
        return _SimulatedDatetime.now(UTC).timestamp()


@contextmanager
def simulated_clocks() -> Iterator[None]:
    """The modules of the event path read the clock of the loop that `rule_clocks` has named last."""
    instead: Mapping[str, object] = {"datetime": _SimulatedDatetime, "time": _SimulatedTime("time")}
    real: Mapping[str, object] = {"datetime": datetime, "time": time}
    modules = [module for name, module in tuple(sys.modules.items()) if name.startswith(_RULED)]
    patches = [
        patch.object(module, name, instead[name])
        for module in modules
        for name in instead
        if getattr(module, name, None) is real[name]
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def rule_clocks(loop: SimulatedLoop) -> None:
    _SimulatedDatetime.loop = loop
