"""From a list of stolen passwords to the file of BREACHED_PASSWORDS.

Lists: `SHA-1:count`, as Pwned Passwords has them, or one password a line. Memory does not grow with the list: the file
is mapped, and a list in the order of its hashes writes it from its beginning to its end.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.users.breach_filter import BITS_PER_PASSWORD, BLOCK, Header, checksum, digest_of, places

Progress = Callable[[int], object]  # called with the bytes read since it was called last

_CHUNK = 1024 * 1024
_TELL_EVERY = 4096  # lines
_SHA1_DIGITS = 40
_SHA1_LINE = re.compile(rb"[0-9A-Fa-f]{40}(:\d+)?")
# NTLM hashes, and the suffixes in the files of single ranges: each would pass for a password that nobody has.
_OTHER_HASHES = re.compile(rb"([0-9A-Fa-f]{32}|[0-9A-Fa-f]{35}):\d+")


class ListInvalid(Exception):
    """The message is for the operator."""


def count_lines(source: Path, progress: Progress) -> int:
    """Raises `ListInvalid`, OSError."""
    count, last = 0, b""
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines = chunk.count(b"\n")
            if not lines and len(chunk) == _CHUNK:  # it would have to be held in memory
                raise ListInvalid(f"{source}: a line after line {count} has more than a million bytes")
            count, last = count + lines, chunk[-1:]
            progress(len(chunk))
    if not last:
        raise ListInvalid(f"{source} is empty")
    return count + (last != b"\n")


def build(source: Path, to: Path, lines: int, progress: Progress) -> None:
    """Replaces `to` once all is written; whoever has the old file open keeps it. Raises `ListInvalid`, OSError."""
    blocks = -(-lines * BITS_PER_PASSWORD // (BLOCK * 8))
    with _replacing(to) as descriptor, source.open("rb") as listed:
        _reserve(descriptor, (blocks + 1) * BLOCK)
        with mmap.mmap(descriptor, 0) as file:
            for digest in _digests(source, listed, progress):
                for place in places(digest, blocks):
                    file[place >> 3] |= 1 << (place & 7)
            file[:BLOCK] = Header(blocks=blocks, lines=lines, checksum=checksum(file)).to_bytes()
            file.flush()


@contextmanager
def _replacing(path: Path) -> Iterator[int]:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        yield descriptor
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    """A full disk is an error here. Later, in the mapped file, it would be SIGBUS."""
    zeros = bytes(_CHUNK)
    while size:
        size -= os.write(descriptor, zeros[:size])


def _digests(source: Path, lines: Iterator[bytes], progress: Progress) -> Iterator[int]:
    read, parse = 0, None
    for number, line in enumerate(lines, 1):
        read += len(line)
        if number % _TELL_EVERY == 0:
            progress(read)
            read = 0
        entry = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).rstrip(b"\r\n")
        if not entry:
            continue
        parse = parse or _parser(source, entry)
        try:
            yield parse(entry)
        except ValueError:
            # The line is not shown: it may be somebody's password.
            raise ListInvalid(f"{source}, line {number}: not 40 hexadecimal digits, as the lines before") from None
    progress(read)


def _parser(source: Path, first: bytes) -> Callable[[bytes], int]:
    if _OTHER_HASHES.fullmatch(first):
        raise ListInvalid(f"{source} has no SHA-1 hashes in full: download the list of SHA-1 hashes, as one file")
    return _sha1 if _SHA1_LINE.fullmatch(first) else digest_of


def _sha1(entry: bytes) -> int:
    """Raises ValueError."""
    digits = entry[:_SHA1_DIGITS]
    # `int` would also take signs, blanks and underscores.
    if len(digits) != _SHA1_DIGITS or not digits.isalnum() or entry[_SHA1_DIGITS:][:1] not in (b"", b":"):
        raise ValueError
    return int(digits, 16)
