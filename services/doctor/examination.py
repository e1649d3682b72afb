"""Runs checks side by side. One that does not end in time, or breaks, is a finding too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.doctor.findings import Finding, Name, fail

SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """`name` and `where` are those of the finding if `run` does not end in time."""

    name: Name
    where: str
    run: Callable[[], Coroutine[Any, Any, list[Finding]]]


async def examine(checks: Sequence[Check], *, seconds: float = SECONDS) -> list[Finding]:
    """The findings in the order of `checks`."""
    tasks = [asyncio.create_task(check.run(), name=f"doctor {check.name}") for check in checks]
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    return [found for check, task in zip(checks, tasks, strict=True) for found in _findings(check, task, seconds)]


def _findings(check: Check, task: asyncio.Task[list[Finding]], seconds: float) -> list[Finding]:
    if not task.done():
        task.cancel()
        said = f"no answer within {seconds:g} s"
        return [fail(check.name, check.where, said, "Look whether the server runs, and at the network in between")]
    if task.cancelled() or (error := task.exception()) is not None:
        kind = "cancelled" if task.cancelled() else type(error).__name__
        return [fail(check.name, check.where, f"the check itself failed ({kind})", "Please report it")]
    return task.result()
