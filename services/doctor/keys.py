"""Signing keys, public keys, the issuer, and the fingerprints of keys that processes share."""

from __future__ import annotations

import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import SecretStr

from services.auth.settings import AuthSettings, KeySettings
from services.auth.tokens.keys import KeyRing, KeysInvalid, signing_time
from services.doctor.answers import NoAnswer, get
from services.doctor.findings import Finding, fail, ok, warn
from shared.configuration.hosts import is_loopback
from shared.configuration.settings import ManagedSettings
from shared.tokens.remote_keys import signing_keys

JWKS: Final = "/.well-known/jwks.json"

_OLD_DAYS: Final = 180
_DAY: Final = 86400
_PURPOSE: Final = b"login2fa doctor: fingerprint of a key"
_PROXIED: Final = "Look at DNS, certificate and gateway: clients look for the keys there"


async def signing(settings: KeySettings) -> list[Finding]:
    folder = settings.jwt_keys_dir
    try:
        signs_from = KeyRing(folder).signing_key().signs_from
    except KeysInvalid as error:
        return [fail("signing-keys", "JWT_KEYS_DIR", str(error), "Give auth the folder that all its replicas have")]
    return [
        _age(signs_from),
        ok("signing-keys", "JWT_KEYS_DIR", _next(sorted(map(signing_time, folder.glob("*.pem"))))),
    ]


def _age(signs_from: float) -> Finding:
    if not signs_from:
        return ok("signing-key-old", "JWT_KEYS_DIR", "the name of the key that signs does not tell since when")
    days = int((time.time() - signs_from) // _DAY)
    said = f"the key that signs is {max(0, days)} days old"
    if days > _OLD_DAYS:
        return warn(
            "signing-key-old", "JWT_KEYS_DIR", said, "Run `login2fa keys rotate`, by a timer every three months"
        )
    return ok("signing-key-old", "JWT_KEYS_DIR", said)


def _next(signing_times: list[float]) -> str:
    coming = [each for each in signing_times if each > time.time()]
    if not coming:
        return f"{len(signing_times)} keys, and no next one waits"
    begins = datetime.fromtimestamp(coming[0], UTC)
    return f"{len(signing_times)} keys; the next one signs from {begins:%Y-%m-%d %H:%M} UTC"


async def issuer(settings: AuthSettings) -> list[Finding]:
    """Does the public URL lead to an auth with the same keys?"""
    try:
        published = await _published(f"{settings.issuer.rstrip('/')}{JWKS}")
        own = {key["kid"] for key in json.loads(KeyRing(settings.jwt_keys_dir).document()[0])["keys"]}
    except KeysInvalid:
        return []  # `signing` says so
    except (_NoKeys, NoAnswer) as error:
        if isinstance(error, NoAnswer) and is_loopback(urlsplit(settings.issuer).hostname or ""):
            return [ok("issuer", "ISSUER", "it is a browser's own machine, and is not reached from here")]
        return [warn("issuer", "ISSUER", f"{settings.issuer}{JWKS}: {error}", _PROXIED)]
    if published != own:
        said = f"{settings.issuer} publishes other keys ({_listed(published)}) than the folder has ({_listed(own)})"
        return [
            fail("keys-differ", "JWT_KEYS_DIR", said, "Give all replicas of auth the same folder, and look at ISSUER")
        ]
    return [ok("issuer", "ISSUER", f"{settings.issuer} publishes the keys of the folder")]


async def public_keys(variable: str, url: str) -> list[Finding]:
    try:
        published = await _published(url)
    except (_NoKeys, NoAnswer) as error:
        return [fail("public-keys", variable, f"{url}: {error}", f"Look at {variable}, and whether auth runs")]
    return [ok("public-keys", variable, f"{len(published)} keys: {_listed(published)}")]


async def fingerprints(settings: ManagedSettings) -> list[Finding]:
    """So that an operator can compare what two processes have. 32 bits of a MAC tell nothing of a random key."""
    return [
        ok("fingerprints", name.upper(), ", ".join(map(_fingerprint, value)))
        for name, value in settings
        if name.endswith("_keys") and isinstance(value, list)
    ]


def _fingerprint(key: SecretStr) -> str:
    return hmac.digest(key.get_secret_value().encode(), _PURPOSE, "sha256").hex()[:8]


class _NoKeys(Exception):
    pass


async def _published(url: str) -> set[str]:
    answer = await get(url)
    if answer.status_code != httpx.codes.OK:
        raise _NoKeys(f"the answer is {answer.status_code}")
    try:
        document: dict[str, Any] = answer.json()
        return set(signing_keys(document))
    except (ValueError, AttributeError, jwt.PyJWTError):
        raise _NoKeys("the answer is no set of keys") from None


def _listed(kids: set[str]) -> str:
    return ", ".join(sorted(kid[:8] for kid in kids)) or "none"
