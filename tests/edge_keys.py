"""The keys of what one service tells another, made for one test run: all that is composed, or started, has them.

They are the MAC keys of the edges, the keys of account codes, and the key of auth for the secrets of factors.
"""

from __future__ import annotations

from typing import get_args

from cryptography.fernet import Fernet

from shared.messaging.edges import Edge, EdgeKeys

KEYS: dict[Edge, str] = {edge: Fernet.generate_key().decode() for edge in get_args(Edge)}
MAILED_SEALING = Fernet.generate_key().decode()
MAILED_PEPPER = "a pepper of account codes that is long enough"
FACTOR_SEALING = Fernet.generate_key().decode()

# Signs what any service may publish.
ALL = EdgeKeys({edge: [key] for edge, key in KEYS.items()})

_OTHERS = {
    "auth": {"factor_sealing_keys": FACTOR_SEALING},
    "users": {"mailed_code_sealing_keys": MAILED_SEALING, "mailed_code_peppers": MAILED_PEPPER},
    "notifier": {"mailed_code_sealing_keys": MAILED_SEALING},
}


def settings_of(service: str) -> dict[str, str]:
    """Those that `service` has, by the names of its settings."""
    edges = {f"{edge}_keys": key for edge, key in KEYS.items() if service in edge.split("_to_")}
    return edges | _OTHERS.get(service, {})


def environment_of(service: str) -> dict[str, str]:
    return {name.upper(): key for name, key in settings_of(service).items()}
