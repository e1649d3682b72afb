"""The files of the file channel, as `make up` writes them: a line `email/otp` for each login code.

Account codes are lines `email/purpose/code` of the file beside it, `<name>.account-codes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from login2fa_testing.inbox import InboxUnreachable, PolledInbox, Purpose, Received


class FileInbox(PolledInbox):
    """`file` has the login codes, and need not exist yet. Files are only read: `clear` forgets their lines."""

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        self._logins = _Lines(Path(file))
        self._accounts = _Lines(Path(f"{file}.account-codes"))

    @property
    def place(self) -> str:
        return str(self._logins.file)

    def clear(self) -> None:
        self._logins.forget()
        self._accounts.forget()

    def _received(self, email: str, purpose: Purpose) -> Iterator[Received]:
        lines, behind = (self._logins, "") if purpose == "login" else (self._accounts, f"/{purpose}")
        last = None
        for number, line in lines.remembered():
            address, _, code = line.rpartition("/")
            # A delivery that is repeated after a crash writes its line again.
            if address.lower() == f"{email}{behind}" and code != last:
                last = code
                yield Received(f"{number}:{code}", code)


class _Lines:
    def __init__(self, file: Path) -> None:
        self.file = file
        self._forgotten = 0

    def forget(self) -> None:
        self._forgotten = len(self._whole())

    def remembered(self) -> Iterator[tuple[int, str]]:
        """With their numbers."""
        lines = self._whole()
        # Shorter than it was: another file by now, of which nothing is forgotten.
        first = self._forgotten if self._forgotten <= len(lines) else 0
        yield from enumerate(lines[first:], first)

    def _whole(self) -> list[str]:
        """The last line may be under way."""
        try:
            return self.file.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InboxUnreachable(f"{self.file} can't be read: {error.strerror}.") from error
