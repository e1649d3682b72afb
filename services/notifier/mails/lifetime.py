"""How long a code is valid, as a mail says it: in minutes, hours or days."""

from __future__ import annotations

from datetime import datetime

_HOUR = 60  # minutes
_DAY = 24 * _HOUR


def lifetime(begin: datetime, end: datetime) -> str:
    """Hours and days are rounded down: a mail must not promise more than its code keeps."""
    minutes = max(1, round((end - begin).total_seconds() / 60))
    for unit, name in ((_DAY, "day"), (_HOUR, "hour")):
        if minutes >= 2 * unit or minutes == unit:
            return _counted(minutes // unit, name)
    return _counted(minutes, "minute")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
