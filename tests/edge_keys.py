"""The MAC keys of the edges, made for one test run: whatever is composed, started or published in it has these."""

from __future__ import annotations

from typing import get_args

from cryptography.fernet import Fernet

from shared.messaging.edges import Edge, EdgeKeys

KEYS: dict[Edge, str] = {edge: Fernet.generate_key().decode() for edge in get_args(Edge)}

# Signs what any service may publish.
ALL = EdgeKeys({edge: [key] for edge, key in KEYS.items()})


def settings_of(service: str) -> dict[str, str]:
    """Those of the edges that begin or end at `service`, by the names of its settings."""
    return {f"{edge}_keys": key for edge, key in KEYS.items() if service in edge.split("_to_")}


def environment_of(service: str) -> dict[str, str]:
    return {name.upper(): key for name, key in settings_of(service).items()}
