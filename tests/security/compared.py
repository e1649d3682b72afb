"""How often a password is compared, whatever is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.composed import AuthApp


class Compared:
    """A busy database makes a 503 of some answers, so answers are not counted."""

    def __init__(self, auth: AuthApp, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._verify = auth.parts.passwords.verify
        monkeypatch.setattr(auth.parts.passwords, "verify", self)

    async def __call__(self, *arguments: Any, **options: Any) -> bool:
        self.times += 1
        return await self._verify(*arguments, **options)
