"""How long a code is valid, in the words of its mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.mails.lifetime import lifetime

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20, "1 minute"),
        (MINUTE, "1 minute"),
        (4 * MINUTE, "4 minutes"),
        (10 * MINUTE + 0.4, "10 minutes"),
        (HOUR, "1 hour"),
        (90 * MINUTE, "90 minutes"),
        (5 * HOUR + 59 * MINUTE, "5 hours"),
        (DAY, "1 day"),
        (47 * HOUR, "47 hours"),
        (3 * DAY, "3 days"),
        (4 * DAY - 1, "4 days"),
        (4 * DAY - MINUTE, "3 days"),
        (30 * DAY, "30 days"),
    ],
)
def test_it_is_the_largest_unit_that_says_it_well_and_never_promises_more(seconds: float, words: str) -> None:
    assert lifetime(NOW, NOW + timedelta(seconds=seconds)) == words
