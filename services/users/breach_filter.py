"""The file of BREACHED_PASSWORDS: a Bloom filter over the SHA-1 of passwords that were stolen somewhere.

It is a page of 4 KiB with a header, then `blocks` pages. A password sets six bits of one page, so that looking for it
reads one page of the disk. With 16 bits a password, fewer than one in 1,000 of those not in the list are refused as if
they were; one in the list is never missed.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from shared.passwords.hashing import normalised

FORMAT: Final = "login2fa-breached-passwords"
VERSION: Final = 1
BLOCK: Final = 4096  # bytes
BITS_PER_PASSWORD: Final = 16

_CHUNK = 1024 * 1024
_MAKE_IT_AGAIN = "make it again with: login2fa passwords build-filter"
_BLOCK_BITS = BLOCK * 8  # 2 ** 15: a place in a block is 15 bits of the digest
_IN_BLOCK = _BLOCK_BITS - 1
_SHIFTS = (0, 15, 30, 45, 60, 75)  # the lowest 90 bits of the digest; the highest 64 choose the block


class BreachFilterInvalid(ValueError):
    """The message is for the operator, and stands behind the name of the setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    blocks: int
    lines: int  # of the list
    checksum: str  # BLAKE2b-256 of the blocks, hexadecimal
    format: str = FORMAT
    version: int = VERSION

    def to_bytes(self) -> bytes:
        return f"{json.dumps(asdict(self))}\n".encode().ljust(BLOCK, b"\0")

    @classmethod
    def parse(cls, page: bytes) -> Self:
        """Raises `BreachFilterInvalid`."""
        try:
            fields = json.loads(page.partition(b"\n")[0])
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise BreachFilterInvalid("the file is no filter: make one with: login2fa passwords build-filter")
        if fields.get("version") != VERSION:
            raise BreachFilterInvalid(f"the file has another version: {_MAKE_IT_AGAIN}")
        try:
            header = cls(**fields)
        except TypeError:
            raise _damaged() from None
        if not isinstance(header.blocks, int) or header.blocks < 1:
            raise _damaged()
        return header


class BreachFilter:
    """Processes on one machine share the memory of the file. It stays as it was opened, also when it is replaced."""

    def __init__(self, path: Path) -> None:
        """Reads the header alone. Raises `BreachFilterInvalid`."""
        try:
            with path.open("rb") as file:
                self._header = Header.parse(file.read(BLOCK))
                self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BreachFilterInvalid(f"the file cannot be read: {error.strerror}") from error
        if len(self._file) != (self._header.blocks + 1) * BLOCK:
            raise _damaged()

    def verify(self) -> None:
        """Reads all of it. Raises `BreachFilterInvalid`."""
        if checksum(self._file) != self._header.checksum:
            raise _damaged()

    def holds(self, password: str) -> bool:
        """As it is, and in the form in which it is stored."""
        return any(self._holds(digest_of(form.encode())) for form in {password, normalised(password)})

    def _holds(self, digest: int) -> bool:
        return all(self._file[place >> 3] >> (place & 7) & 1 for place in places(digest, self._header.blocks))


def verified(path: Path | None) -> BreachFilter | None:
    """Opens and reads all of the file, if there is one. Raises `BreachFilterInvalid`."""
    if path is None:
        return None
    opened = BreachFilter(path)
    opened.verify()
    return opened


def refuse_invalid(path: Path) -> Path:
    """For settings; reads the header alone. Raises `BreachFilterInvalid`."""
    BreachFilter(path)
    return path


def digest_of(password: bytes) -> int:
    return int.from_bytes(hashlib.sha1(password, usedforsecurity=False).digest())


def places(digest: int, blocks: int) -> list[int]:
    """Its bits in the file, behind the header. Digests in order have blocks in order."""
    first = ((digest >> 96) * blocks >> 64) * _BLOCK_BITS + _BLOCK_BITS
    return [first + (digest >> shift & _IN_BLOCK) for shift in _SHIFTS]


def checksum(file: mmap.mmap) -> str:
    hashed = hashlib.blake2b(digest_size=32)
    with memoryview(file) as whole:
        for start in range(BLOCK, len(whole), _CHUNK):
            hashed.update(whole[start : start + _CHUNK])
    return hashed.hexdigest()


def _damaged() -> BreachFilterInvalid:
    return BreachFilterInvalid(f"the file is damaged: copy it again, or {_MAKE_IT_AGAIN}")
