"""The two answers of a login."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A token pair. `expires_at`: of the access token, in Unix seconds by the clock here. `repr` hides the tokens."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class SecondFactorNeeded:
    """`methods` complete the login, the strongest first; `sent`: a code is on its way by mail."""

    temporary_token: str = field(repr=False)
    methods: tuple[str, ...]
    sent: bool
    expires_in: int


def logged_in(answer: Mapping[str, Any]) -> LoggedIn:
    return LoggedIn(answer["access_token"], answer["refresh_token"], time.time() + answer["expires_in"])


def outcome(answer: Mapping[str, Any]) -> LoggedIn | SecondFactorNeeded:
    if "temporary_token" not in answer:
        return logged_in(answer)
    methods = tuple(answer.get("methods") or ("email",))
    return SecondFactorNeeded(answer["temporary_token"], methods, answer.get("sent", True), answer["expires_in"])
