"""Verifies password hashes that other systems have made (docs/import.md); Argon2id takes their place at a login.

Each costs a bounded time: a hash with a larger cost is refused, else one login could keep a thread for minutes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import bcrypt
from argon2 import Parameters, extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import ARGON2_VERSION, Type
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

ALGORITHMS: Final = ("bcrypt", "pbkdf2", "scrypt", "phpass")

# bcrypt reads no further. A longer password is checked by these alone, as the system did that made the hash.
BCRYPT_BYTES: Final = 72

_MOST_BCRYPT: Final = 14  # 1.2 s on a processor that needs 75 ms for 10
_MOST_ITERATIONS: Final = 2_000_000
_MOST_PHPASS: Final = 16
_MOST_SCRYPT_BYTES: Final = 256 * 2**20
_MOST_LANES: Final = 16
_MOST_ARGON2_KIB: Final = 256 * 2**10
_MOST_ARGON2_PASSES: Final = 16

_DIGESTS: Final = {"": "sha1", "-sha256": "sha256", "-sha512": "sha512"}
_ITOA64: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WORDPRESS: Final = b"wp-sha384"
_TRIMMED: Final = b" \n\r\t\v\0"  # by PHP


class HashNotKnown(ValueError):
    """The text says what is wrong, without the hash."""


@dataclass(frozen=True, slots=True)
class ForeignHash:
    algorithm: str
    matches: Callable[[bytes], bool]

    def seconds(self) -> float:
        """Of a comparison, on this machine, now."""
        began = time.perf_counter()
        self.matches(b"not the password")
        return time.perf_counter() - began


def is_own(stored: str) -> bool:
    return stored.startswith("$argon2id$")


def kind_of(stored: str) -> str:
    """The same for hashes of one format and cost."""
    found = _KIND.match(stored)
    return found[0] if found else ""


def is_to_be_replaced(stored: str, password: str) -> bool:
    """Whether ours may take the place of `stored`, which `password` matches. Not where a part of it was not compared: a
    slip of the finger there would become the password. bcrypt stops after 72 bytes, WordPress trims.
    """
    typed = password.encode()
    if stored.startswith("$wp"):
        return typed == typed.strip(_TRIMMED)
    return not is_own(stored) and (not stored.startswith("$2") or len(typed) <= BCRYPT_BYTES)


def read(stored: str) -> ForeignHash:
    """Raises `HashNotKnown`."""
    for pattern, reader in _READERS:
        if found := pattern.fullmatch(stored):
            try:
                return reader(found)
            except (binascii.Error, ValueError) as error:
                raise (
                    error if isinstance(error, HashNotKnown) else HashNotKnown("its parts are not in Base64")
                ) from None
    raise HashNotKnown("is of no format that docs/import.md names")


def refuse_unusable(stored: str) -> None:
    """For a hash that is about to be stored. Raises `HashNotKnown`."""
    if not is_own(stored):
        read(stored)
        return
    try:
        parameters = extract_parameters(stored)
    except InvalidHashError:
        raise HashNotKnown("is no Argon2id hash in the PHC format") from None
    _refuse_beyond(_argon2_costs(parameters))


def _argon2_costs(parameters: Parameters) -> list[tuple[str, int, int]]:
    if parameters.type != Type.ID or parameters.version != ARGON2_VERSION:
        raise HashNotKnown("is not of Argon2id, version 19")
    return [
        ("m", parameters.memory_cost, _MOST_ARGON2_KIB),
        ("t", parameters.time_cost, _MOST_ARGON2_PASSES),
        ("p", parameters.parallelism, _MOST_LANES),
    ]


def _refuse_beyond(costs: list[tuple[str, int, int]]) -> None:
    for name, value, most in costs:
        if not 0 < value <= most:
            raise HashNotKnown(f"has {name}={value}; from 1 to {most} is taken")


def _bcrypt(found: re.Match[str]) -> ForeignHash:
    _refuse_beyond([("cost", int(found["cost"]), _MOST_BCRYPT)])
    return ForeignHash("bcrypt", lambda password: _is_bcrypt(password[:BCRYPT_BYTES], found["hash"]))


def _wordpress(found: re.Match[str]) -> ForeignHash:
    """WordPress 6.8 and later."""
    _refuse_beyond([("cost", int(found["cost"]), _MOST_BCRYPT)])

    def matches(password: bytes) -> bool:
        digest = hmac.digest(_WORDPRESS, password.strip(_TRIMMED), "sha384")
        return _is_bcrypt(base64.b64encode(digest), found["hash"])

    return ForeignHash("bcrypt", matches)


def _is_bcrypt(password: bytes, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password, stored.encode())
    except ValueError:  # a NUL in the password, or a salt that is none
        return False


def _pbkdf2_of_django(found: re.Match[str]) -> ForeignHash:
    return _pbkdf2(
        "sha256", int(found["rounds"]), found["salt"].encode(), base64.b64decode(found["hash"], validate=True)
    )


def _pbkdf2_of_passlib(found: re.Match[str]) -> ForeignHash:
    digest = _DIGESTS[found["digest"]]
    return _pbkdf2(digest, int(found["rounds"]), _adapted(found["salt"]), _adapted(found["hash"]))


def _pbkdf2(digest: str, rounds: int, salt: bytes, expected: bytes) -> ForeignHash:
    _refuse_beyond([("the number of rounds", rounds, _MOST_ITERATIONS), ("length", len(expected), 64)])

    def matches(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(digest, password, salt, rounds, len(expected)), expected)

    return ForeignHash("pbkdf2", matches)


def _scrypt(found: re.Match[str]) -> ForeignHash:
    derive = _scrypt_of(found, _adapted(found["salt"]))
    expected = _adapted(found["hash"])
    _refuse_beyond([("length", len(expected), 64)])
    return ForeignHash("scrypt", lambda password: hmac.compare_digest(derive(password, len(expected)), expected))


def _firebase(found: re.Match[str]) -> ForeignHash:
    """Firebase encrypts the project's signer key by what scrypt derives: AES-256-CTR, with a counter of zeros."""
    salt = base64.b64decode(found["salt"], validate=True) + base64.b64decode(found["separator"], validate=True)
    expected, signer = (base64.b64decode(found[each], validate=True) for each in ("hash", "signer"))
    derive = _scrypt_of(found, salt)

    def matches(password: bytes) -> bool:
        encryptor = Cipher(AES(derive(password, 64)[:32]), CTR(bytes(16))).encryptor()
        return hmac.compare_digest(encryptor.update(signer) + encryptor.finalize(), expected)

    return ForeignHash("scrypt", matches)


def _scrypt_of(found: re.Match[str], salt: bytes) -> Callable[[bytes, int], bytes]:
    exponent, r, p = (int(found[each]) for each in ("ln", "r", "p"))
    _refuse_beyond([("ln", exponent, 20), ("r", r, 32), ("p", p, _MOST_LANES)])
    needed = 128 * r * (2**exponent + p + 2)
    _refuse_beyond([("bytes of memory", needed, _MOST_SCRYPT_BYTES)])

    def derive(password: bytes, length: int) -> bytes:
        return hashlib.scrypt(password, salt=salt, n=2**exponent, r=r, p=p, maxmem=2 * needed, dklen=length)

    return derive


def _phpass(found: re.Match[str]) -> ForeignHash:
    exponent, salt = _ITOA64.index(found["cost"]), found["salt"].encode()
    _refuse_beyond([("cost", exponent, _MOST_PHPASS)])

    def matches(password: bytes) -> bool:
        digest = hashlib.md5(salt + password, usedforsecurity=False).digest()
        for _ in range(2**exponent):
            digest = hashlib.md5(digest + password, usedforsecurity=False).digest()
        return hmac.compare_digest(_itoa64(digest), found["hash"])

    return ForeignHash("phpass", matches)


def _itoa64(digest: bytes) -> str:
    """Six bits at a time, the lowest first: no Base64."""
    text = ""
    for start in range(0, len(digest), 3):
        part = digest[start : start + 3]
        value = int.from_bytes(part, "little")
        for _ in range(len(part) + 1):
            text += _ITOA64[value & 0x3F]
            value >>= 6
    return text


def _adapted(text: str) -> bytes:
    """PHC and passlib write Base64 without padding, passlib also with a dot for the plus sign."""
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)


# Up to the salt; the cost of phpass is the letter after its name.
_KIND: Final = re.compile(r"\$[PH]\$.|\$firescrypt\$[^$]*|\$scrypt\$[^$]*|[$]?[^$]*\$[^$]*|")

_BCRYPT: Final = r"(?P<hash>\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53})"
_B64, _AB64 = r"[A-Za-z0-9+/]+={0,2}", r"[A-Za-z0-9+/.]+"
_SCRYPT_COSTS: Final = r"ln=(?P<ln>\d{1,2}),r=(?P<r>\d{1,3}),p=(?P<p>\d{1,3})"

_READERS: Final = tuple(
    (re.compile(pattern), reader)
    for pattern, reader in (
        (_BCRYPT, _bcrypt),
        (rf"\$wp{_BCRYPT}", _wordpress),
        (rf"pbkdf2_sha256\$(?P<rounds>\d{{1,9}})\$(?P<salt>[^$]+)\$(?P<hash>{_B64})", _pbkdf2_of_django),
        (
            rf"\$pbkdf2(?P<digest>|-sha256|-sha512)\$(?P<rounds>\d{{1,9}})\$(?P<salt>{_AB64})\$(?P<hash>{_AB64})",
            _pbkdf2_of_passlib,
        ),
        (rf"\$scrypt\${_SCRYPT_COSTS}\$(?P<salt>{_AB64})\$(?P<hash>{_AB64})", _scrypt),
        (
            rf"\$firescrypt\${_SCRYPT_COSTS}\$(?P<salt>{_B64})\$(?P<hash>{_B64})\$(?P<separator>{_B64})\$(?P<signer>{_B64})",
            _firebase,
        ),
        (r"\$[PH]\$(?P<cost>[./A-Za-z0-9])(?P<salt>[./A-Za-z0-9]{8})(?P<hash>[./A-Za-z0-9]{22})", _phpass),
    )
)
