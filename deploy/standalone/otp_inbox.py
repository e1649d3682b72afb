"""Reads the codes that the file channel writes.

Login codes are lines `email/otp`. Codes that prove an address are lines `email/purpose/code` of the file beside.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

STEP = 0.02


class OtpInbox:
    """`file` has the login codes, `account_codes` the others."""

    def __init__(self, file: Path, *, patience: float = 10.0) -> None:
        self.file = file
        self.account_codes = file.with_name(f"{file.name}.account-codes")
        self._patience = patience
        self._given: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def next_code(self, email: str, purpose: str = "") -> str | None:
        """The newest login code since the last call, so no code comes twice; None if none comes in time.

        With a purpose, such as `reset`: the newest account code for it.
        """
        deadline = time.monotonic() + self._patience
        while (code := self._newer(email, purpose)) is None and time.monotonic() < deadline:
            time.sleep(STEP)
        return code

    def codes(self, email: str, purpose: str = "") -> list[str]:
        """All codes so far, the oldest first."""
        file, wanted = (self.account_codes, f"{email}/{purpose}") if purpose else (self.file, email)
        if not file.exists():
            return []
        whole_lines = file.read_text().split("\n")[:-1]
        return [code for before, _, code in (line.rpartition("/") for line in whole_lines) if before == wanted]

    def _newer(self, email: str, purpose: str) -> str | None:
        with self._lock:
            codes = self.codes(email, purpose)
            if len(codes) <= self._given[email, purpose]:
                return None
            self._given[email, purpose] = len(codes)
            return codes[-1]
