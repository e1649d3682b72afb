"""An environment in which every service starts, and what one says that does not."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import get_args

import pytest

from services.configuration import SETTINGS
from shared.configuration.settings import SettingsInvalid, load
from shared.messaging.edges import Edge

CANARY = "canary-0123456789"
EDGES = [f"{edge.upper()}_KEYS" for edge in get_args(Edge)]
SEALING = ["OTP_SEALING_KEYS", "ACCOUNT_SEALING_KEYS", "MAILED_CODE_SEALING_KEYS", "FACTOR_SEALING_KEYS"]
KEYS = {
    name: base64.urlsafe_b64encode(bytes(range(first, first + 32))).decode()
    for first, name in enumerate([*SEALING, *EDGES])
}
KEY = KEYS["OTP_SEALING_KEYS"]

GOOD = {
    "RABBITMQ_URL": f"amqp://user:{CANARY}@broker/",
    "AUTH_DATABASE_URL": f"postgresql+asyncpg://auth:{CANARY}@host/database",
    "USERS_DATABASE_URL": f"postgresql+asyncpg://users:{CANARY}@host/database",
    "JWT_KEYS_DIR": "/keys",
    **KEYS,
    "OTP_PEPPERS": f"{CANARY}-pepper-0123456789abcdef0123456789abcdef",
    "MAILED_CODE_PEPPERS": f"{CANARY}-pepper-fedcba9876543210fedcba9876543210",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Good and complete, for every service; nothing else."""
    return nothing_but(monkeypatch, GOOD)


def nothing_but(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> pytest.MonkeyPatch:
    """These are the environment."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refusal(service: str) -> str:
    with pytest.raises(SettingsInvalid) as refused:
        load(SETTINGS[service])
    sentence = str(refused.value)
    assert CANARY not in sentence
    return sentence
