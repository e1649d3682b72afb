"""Usable processors. Python ignores container limits: a pool of 64 Argon2id threads may exceed a container's memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable(cgroup: Path = _CGROUP) -> int:
    """At least 1; a limit of 1.5 processors counts as 2. Reads Linux control groups, versions 2 and 1."""
    count = len(os.sched_getaffinity(0))
    limit = _limit(cgroup)
    return min(count, math.ceil(limit)) if limit is not None else count


def _limit(cgroup: Path) -> float | None:
    """Processors, or None without a limit."""
    try:
        if (version_2 := cgroup / "cpu.max").exists():
            quota, period = version_2.read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # "max": no limit; no such file: no control group
        return None
