"""The file channel: a line `email/otp` for each delivery, as `make up` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from login2fa_testing.inbox import InboxUnreachable, PolledInbox, Received


class FileInbox(PolledInbox):
    """`file` need not exist yet. It is only read: `clear` forgets its lines and leaves them."""

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        self._file = Path(file)
        self._forgotten = 0

    @property
    def place(self) -> str:
        return str(self._file)

    def clear(self) -> None:
        self._forgotten = len(self._lines())

    def _received(self, email: str) -> Iterator[Received]:
        lines = self._lines()
        # Shorter than it was: another file by now, of which nothing is forgotten.
        first = self._forgotten if self._forgotten <= len(lines) else 0
        last = None
        for number, line in enumerate(lines[first:], first):
            address, _, code = line.rpartition("/")
            # A delivery that is repeated after a crash writes its line again.
            if address.lower() == email and code != last:
                last = code
                yield Received(f"{number}:{code}", code)

    def _lines(self) -> list[str]:
        """Whole lines: the last one may be under way."""
        try:
            return self._file.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InboxUnreachable(f"{self._file} can't be read: {error.strerror}.") from error
