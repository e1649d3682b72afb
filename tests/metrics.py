"""The metrics of this process, as a test reads them."""

from __future__ import annotations

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float:
    """0 for a series that has not begun."""
    return REGISTRY.get_sample_value(f"login2fa_{name}", labels) or 0
