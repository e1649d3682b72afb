"""Processor time, as the kernel counts it: it hardly moves when the machine has other work."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED, in nanoseconds; ticks are too coarse for a quarter of a second


def seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes and of all that they have started, ended ones included."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}  # by those that have ended, and were waited for
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        pid = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = sum(map(int, fields[13:15])) / _TICK
    total, left = 0.0, list(pids)
    while left:
        pid = left.pop()
        total += used.get(pid, 0.0) + _clock(pid)
        left += children.get(pid, [])
    return total


def _clock(pid: int) -> float:
    """Of one process, all its threads, ended ones too: clock_getcpuclockid(3), which Python has for threads only."""
    try:
        return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)
    except OSError:
        return 0.0  # it has ended


def stolen() -> float:
    """Seconds, of all processors together, in which the host gave them to others; 0 where there is no host."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return int(fields[8]) / _TICK  # proc(5)


@contextmanager
def apart(pids: Collection[int], turn: int) -> Iterator[None]:
    """These processes on one processor, and this one on the others; each processor in its turn.

    Of two processors one may be slower for a minute, and the kernel leaves a busy process where it is: without this,
    all rounds of a short row can have one side on the slower of them. Without `pids`, or with one processor: as it was.
    """
    every, placed = sorted(os.sched_getaffinity(0)), dict[int, set[int]]()
    if pids and len(every) > 1:
        theirs = every[turn % len(every)]
        placed = {os.getpid(): set(every) - {theirs}} | {pid: {theirs} for pid in pids}
    try:
        for pid, processors in placed.items():
            _place(pid, processors)
        yield
    finally:
        for pid in placed:
            _place(pid, every)


def _place(pid: int, processors: Iterable[int]) -> None:
    """All its threads: sched_setaffinity(2) is for one."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), processors)


def memory(pid: int) -> dict[str, float]:
    """`rss` and `pss` of one process, in MiB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {words[0].rstrip(":").lower(): int(words[1]) / 1024 for words in lines if words[0] in ("Rss:", "Pss:")}
