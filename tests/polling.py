"""Waiting for something to become true: the only place in the tests that sleeps.

A test that sleeps for a guessed time is slow when the guess is long, and fails on a busy machine when it is
short. These poll, return as soon as the condition holds, and say after the deadline what it last was.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

STEP = 0.02


@overload
async def eventually(condition: Callable[[], Awaitable[T]], timeout: float = ...) -> T: ...  # noqa: ASYNC109 - below


@overload
async def eventually(condition: Callable[[], T], timeout: float = ...) -> T: ...  # noqa: ASYNC109 - below


async def eventually(
    condition: Callable[[], Any],  # Any: the overloads above say it
    timeout: float = 30.0,  # noqa: ASYNC109 - a poll can say what it last saw; asyncio.timeout can't
) -> Any:
    """Return the first true value of `condition`, a plain or async function without arguments.

    An `AssertionError` inside `condition` counts as "not yet".

    Raises:
        AssertionError: not true within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = condition()
            seen = await value if inspect.isawaitable(value) else value
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            if seen:
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s, last seen: {seen!r}")
        await asyncio.sleep(STEP)


def wait_until(condition: Callable[[], T], timeout: float = 30.0) -> T:
    """Do the same as `eventually` where no event loop runs: servers are started before the first test."""
    deadline = time.monotonic() + timeout
    while not (seen := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s, last seen: {seen!r}")
        time.sleep(STEP)
    return seen
