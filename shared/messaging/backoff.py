"""Pauses between attempts: growing, so that a broker in trouble is left in peace; random, so that those who
lost it together do not come back together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST = 0.2
CEILING = 5.0


def pauses() -> Iterator[float]:
    """Seconds, without end. Begin a new one after a success."""
    pause = FIRST
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, CEILING)
