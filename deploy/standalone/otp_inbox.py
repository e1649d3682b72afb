"""Reads the one-time codes that the file channel writes, as lines `email/otp`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

STEP = 0.02


class OtpInbox:
    def __init__(self, file: Path, *, patience: float = 10.0) -> None:
        self.file = file
        self._patience = patience
        self._given: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next_code(self, email: str) -> str | None:
        """The newest code since the last call, so no code comes twice; None if none comes in time."""
        deadline = time.monotonic() + self._patience
        while (code := self._newer(email)) is None and time.monotonic() < deadline:
            time.sleep(STEP)
        return code

    def _newer(self, email: str) -> str | None:
        with self._lock:
            codes = self._codes(email)
            if len(codes) <= self._given[email]:
                return None
            self._given[email] = len(codes)
            return codes[-1]

    def _codes(self, email: str) -> list[str]:
        if not self.file.exists():
            return []
        whole_lines = self.file.read_text().split("\n")[:-1]
        return [code for address, _, code in (line.rpartition("/") for line in whole_lines) if address == email]
