"""The signing keys: a folder of PEM files, read again when it changes. All verify and are in the JWKS (RFC 7517); `kid`
is the RFC 7638 thumbprint. The newest whose time has come signs: a file name may begin with the UTC time from which it
signs (`20260131T120000Z-….pem`), so a key is published before its use.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

log = structlog.get_logger()

_STAMP = "%Y%m%dT%H%M%SZ"
_RELOAD_AFTER = 5.0
_SMALLEST_RSA = 2048


class KeysInvalid(Exception):
    """The folder can not be used; the text says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    algorithm: str
    private: Any  # one of three unrelated classes of `cryptography`
    jwk: dict[str, Any]
    public: jwt.PyJWK
    signs_from: float


class KeyRing:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self._checked_at = 0.0
        self._keys: dict[str, SigningKey] = {}
        self._load()

    def find(self, kid: str) -> jwt.PyJWK | None:
        self._reload_if_changed()
        key = self._keys.get(kid)
        return key.public if key is not None else None

    def signing_key(self, moment: float | None = None) -> SigningKey:
        """`moment`: when the token is made, in Unix seconds; default: now."""
        self._reload_if_changed()
        moment = time.time() if moment is None else moment
        keys = self._keys.values()
        due = [key for key in keys if key.signs_from <= moment]
        return max(due, key=lambda key: key.signs_from) if due else min(keys, key=lambda key: key.signs_from)

    @property
    def age(self) -> float:
        """Seconds since the signing key began to sign; NaN if its file's name does not tell."""
        began = self.signing_key().signs_from
        return time.time() - began if began else math.nan

    def document(self) -> tuple[bytes, str]:
        """The JWK set and its ETag."""
        self._reload_if_changed()
        return self._jwks, self._etag

    def _reload_if_changed(self) -> None:
        if time.monotonic() - self._checked_at < _RELOAD_AFTER:
            return
        self._checked_at = time.monotonic()
        try:
            if self._listing() != self._seen:
                self._load()
        except (KeysInvalid, OSError) as error:
            # The operator may be changing the folder: the current keys stay in use.
            log.warning("signing keys not read again", reason=str(error))

    def _listing(self) -> list[tuple[str, int]]:
        return sorted((path.name, path.stat().st_mtime_ns) for path in self._folder.glob("*.pem"))

    def _load(self) -> None:
        if not os.access(self._folder, os.R_OK | os.X_OK):
            raise KeysInvalid(f"{self._folder} is no folder that can be read; make it with: login2fa keys generate")
        try:
            seen = self._listing()
        except OSError as error:
            raise KeysInvalid(f"{error.filename} can not be read: {error.strerror}") from None
        if not seen:
            raise KeysInvalid(f"{self._folder} holds no .pem file; make one with: login2fa keys generate")
        keys = [_read(self._folder / name) for name, _ in seen]
        self._jwks = json.dumps({"keys": [key.jwk for key in keys]}, separators=(",", ":")).encode()
        self._etag = f'"{hashlib.sha256(self._jwks).hexdigest()[:32]}"'
        self._keys = {key.kid: key for key in keys}
        self._seen = seen


def generate(folder: Path, *, signs_from: datetime | None = None) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    stamp = (signs_from or datetime.now(UTC)).astimezone(UTC).strftime(_STAMP)
    path = folder / f"{stamp}-{_thumbprint(_public_jwk(private, 'ES256'))[:8]}.pem"
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The rename comes last: a running process must never read half a key.
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    partial.rename(path)
    return path


def retire(folder: Path, *, superseded_before: datetime) -> list[Path]:
    """Removes keys whose successor began to sign before that time; their tokens become invalid."""
    stamped = sorted((signing_time(path), path) for path in folder.glob("*.pem"))
    retired = []
    for signs_from, path in stamped:
        # Keys without a timestamp in their name count as time 0; none supersedes another.
        later = [other for other, _ in stamped if other > signs_from]
        if later and min(later) < superseded_before.timestamp():
            path.unlink()
            retired.append(path)
    return retired


def _read(path: Path) -> SigningKey:
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, OSError, UnsupportedAlgorithm) as error:
        raise KeysInvalid(f"{path} is no readable, unencrypted PEM private key ({type(error).__name__})") from None
    algorithm = _algorithm(private, path)
    public = _public_jwk(private, algorithm)
    kid = _thumbprint(public)
    jwk = public | {"kid": kid, "alg": algorithm, "use": "sig"}
    return SigningKey(kid, algorithm, private, jwk, jwt.PyJWK(jwk), signing_time(path))


def _algorithm(private: object, path: Path) -> str:
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= _SMALLEST_RSA:
        return "RS256"
    raise KeysInvalid(f"{path} is neither P-256, Ed25519 nor RSA of at least {_SMALLEST_RSA} bits")


def _public_jwk(private: Any, algorithm: str) -> dict[str, Any]:
    jwk: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    return jwk


def _thumbprint(jwk: dict[str, Any]) -> str:
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def signing_time(path: Path) -> float:
    """Unix seconds from which the key signs, from its file name; 0 without a timestamp."""
    try:
        return datetime.strptime(path.name.split("-")[0], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
