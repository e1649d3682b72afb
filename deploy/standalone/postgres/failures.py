"""Failures of the embedded PostgreSQL, each as a sentence that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PostgresFailed(Exception):
    """The text is for the person at the terminal."""


FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)

# Messages of initdb and postgres in the C locale, with their errno.
MARKS = {
    "No space left on device": FULL[0],
    "Disk quota exceeded": FULL[0],
    "Permission denied": FORBIDDEN[0],
    "Read-only file system": FORBIDDEN[0],
}


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns OSError into `PostgresFailed`."""
    try:
        yield
    except OSError as error:
        raise _refused(folder, error.errno, str(error)) from error


def from_output(folder: Path, program: str, output: str) -> PostgresFailed:
    number = next((number for mark, number in MARKS.items() if mark in output), None)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    return _refused(folder, number, f"{program}: {(telling or lines or ['it ended without a word'])[-1]}")


def _refused(folder: Path, number: int | None, said: str) -> PostgresFailed:
    if number in FULL:
        return PostgresFailed(
            f"The disk that holds {folder} is full: free about 100 MB there, or choose another folder"
            f" with STATE_DIR ({said})."
        )
    if number in FORBIDDEN:
        return PostgresFailed(
            f"PostgreSQL may not write in {folder}: run as the user who owns it, or choose another folder"
            f" with STATE_DIR ({said})."
        )
    return PostgresFailed(
        f"PostgreSQL could not be started in {folder}: {said}. Look into {folder / 'postgres.log'},"
        " or choose another folder with STATE_DIR."
    )
