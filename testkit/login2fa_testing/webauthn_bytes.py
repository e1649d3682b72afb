"""The bytes that an authenticator writes (WebAuthn, sections 6.1 and 6.5), and as much CBOR as they need."""

from __future__ import annotations

import base64
import hashlib
from enum import IntFlag
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

AAGUID = bytes(16)  # of an authenticator that does not say what it is
_COORDINATE_BYTES = 32
_MAJOR: dict[type[object], int] = {bytes: 2, str: 3, dict: 5}
_SHORT = 24  # a length below it stands in the first byte


class Flags(IntFlag):
    """Flags of authenticator data: a person was present, was verified; the key may be synced, is synced;
    the data of a new key follow.
    """

    UP = 0x01
    UV = 0x04
    BE = 0x08
    BS = 0x10
    AT = 0x40


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def authenticator_data(rp_id: str, flags: int, counter: int, new_key: bytes = b"") -> bytes:
    return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4) + new_key


def new_key_data(credential_id: bytes, key: EllipticCurvePublicKey) -> bytes:
    """Attested credential data of a P-256 key."""
    point = key.public_numbers()
    x, y = (each.to_bytes(_COORDINATE_BYTES) for each in (point.x, point.y))
    # COSE (RFC 9053): EC2, ES256, on P-256, at this point.
    cose = cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})
    return AAGUID + len(credential_id).to_bytes(2) + credential_id + cose


def attestation_object(data: bytes) -> bytes:
    """Attestation `none`: nobody vouches for the authenticator."""
    return cbor({"fmt": "none", "attStmt": {}, "authData": data})


def cbor(value: Any) -> bytes:  # Any: numbers, texts, bytes and maps, nested
    """Encode as RFC 8949 does, in the order of the map: a caller gives keys in the canonical one."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    body = value.encode() if isinstance(value, str) else value
    head = _head(_MAJOR[type(value)], len(body))
    return head + (b"".join(cbor(key) + cbor(value[key]) for key in value) if isinstance(value, dict) else body)


def _head(major: int, number: int) -> bytes:
    if number < _SHORT:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([major << 5 | _SHORT + size.bit_length() - 1]) + number.to_bytes(size)
