"""Delivery to files, for development, in whole lines.

1. `<name>`: login codes alone, as `email/otp`.
2. `<name>.account-codes`: codes that prove an address, as `email/purpose/code`.
3. `<name>.notices`: `email/notice`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from services.notifier.channel import AccountCode, Mail, Notice, TryLater
from services.notifier.reach import Reach
from services.notifier.turns import Turn
from shared import failpoints


class FileChannel:
    """Several processes may append to one file. Only its owner can read it."""

    def __init__(self, path: Path) -> None:
        self.reach = Reach()
        self._codes = path
        self._account_codes = path.with_name(f"{path.name}.account-codes")
        self._notices = path.with_name(f"{path.name}.notices")

    async def deliver(self, mail: Mail, _turn: Turn) -> str:
        path, said = self._line(mail)
        await self._in_a_thread(path, partial(_append, path, f"{mail.email}/{said}\n".encode()))
        return f"written to {path.name}"

    def _line(self, mail: Mail) -> tuple[Path, str]:
        if isinstance(mail, Notice):
            return self._notices, str(mail.notice)
        if isinstance(mail, AccountCode):
            return self._account_codes, f"{mail.purpose}/{mail.code}"
        return self._codes, mail.code

    async def probe(self) -> None:
        await self._in_a_thread(self._codes, partial(_refuse_unwritable, self._codes))

    async def _in_a_thread(self, path: Path, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            reason = f"cannot write {path.name}: {error.strerror}"
            self.reach.note(good=False, reason=reason)
            raise TryLater(reason) from None
        self.reach.note(good=True)

    async def close(self) -> None:
        """Does nothing: no file stays open."""


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_unwritable(path: Path) -> None:
    with _opened(path) as descriptor:
        if not os.fstatvfs(descriptor).f_bavail:
            raise _no_space()


def _append(path: Path, line: bytes) -> None:
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        # A crash or a full disk may leave part of a line. It was not acknowledged, so the whole line comes again.
        whole = _end_of_last_line(descriptor, size)
        if whole < size:
            os.ftruncate(descriptor, whole)
        try:
            _write_whole(descriptor, line)
        except OSError:
            os.ftruncate(descriptor, whole)
            raise


def _end_of_last_line(descriptor: int, size: int) -> int:
    tail = os.pread(descriptor, 512, max(0, size - 512))
    return size - len(tail) + tail.rfind(b"\n") + 1 if tail else 0


def _write_whole(descriptor: int, line: bytes) -> None:
    written = os.write(descriptor, line)
    failpoints.reach("file: written")
    if written < len(line):
        raise _no_space()
    os.fsync(descriptor)


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
