"""How long a code is valid, as a mail says it: in minutes, hours or days."""

from __future__ import annotations

from datetime import datetime

from services.notifier.mails.style import SHIPPED_STYLE, Style

_HOUR = 60  # minutes
_DAY = 24 * _HOUR


def lifetime(begin: datetime, end: datetime, style: Style = SHIPPED_STYLE) -> str:
    """Hours and days are rounded down: a mail must not promise more than its code keeps."""
    minutes = max(1, round((end - begin).total_seconds() / 60))
    for unit, name in ((_DAY, "day"), (_HOUR, "hour")):
        if minutes >= 2 * unit or minutes == unit:
            return _counted(minutes // unit, name, style)
    return _counted(minutes, "minute", style)


def _counted(number: int, unit: str, style: Style) -> str:
    return style.text(f"lifetime.{unit}" if number == 1 else f"lifetime.{unit}s", number=number)
