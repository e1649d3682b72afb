"""How a delivery may end, as Prometheus counts it."""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import Counter

End = Literal["delivered", "retry", "given_up", "expired", "put_off"]


def ends_counter(name: str, what: str) -> Counter:
    """All its series begin at once: one that begins later at 1 never shows an increase."""
    counter = Counter(name, what, ["outcome"])
    for end in get_args(End):
        counter.labels(end)
    return counter
