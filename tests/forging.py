"""Tokens as an attacker would make them: any header, any claims, signed or not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://login.test"
AUDIENCE = "login2fa"
ACCOUNT = "01890a5d-ac96-774b-bcce-b302099a8057"
SESSION = "01890a5d-ac96-774b-bcce-b302099a8058"
TOKEN_ID = "01890a5d-ac96-774b-bcce-b302099a8059"


class Raw(str):
    """A JSON text that stands for itself: `Raw("1e400")`."""

    __slots__ = ()


def access_claims(**changes: Any) -> dict[str, Any]:
    """Of a good access token, but for `changes`."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": ACCOUNT,
        "jti": TOKEN_ID,
        "iat": now,
        "exp": now + 3600,
        "client_id": AUDIENCE,
        "sid": SESSION,
        "epoch": 0,
        "auth_time": now,
        "amr": ["pwd"],
        "acr": "urn:login2fa:acr:1",
        "email_verified": True,
    } | changes


def without(members: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


class Signer:
    """A P-256 key, published as `kid`; a new one unless given."""

    def __init__(self, kid: str = "key-1", private: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.kid = kid
        self.private = private or ec.generate_private_key(ec.SECP256R1())
        self.jwk: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self.private.public_key())) | {
            "kid": kid,
            "alg": "ES256",
            "use": "sig",
        }
        self.public = jwt.PyJWK(self.jwk)

    def find(self, kid: str) -> jwt.PyJWK | None:
        return self.public if kid == self.kid else None

    def header(self, **changes: Any) -> dict[str, Any]:
        """Of a good access token, but for `changes`."""
        return {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"} | changes

    def token(self, claims: Mapping[str, Any] | str, header: Mapping[str, Any] | str | None = None) -> str:
        """Signed with ES256, whatever the header says."""
        signed = signing_input(claims, self.header() if header is None else header)
        return f"{signed}.{segment(ECAlgorithm(ECAlgorithm.SHA256).sign(signed.encode(), self.private))}"

    def hmac_token(self, claims: Mapping[str, Any], algorithm: str, header: Mapping[str, Any] | None = None) -> str:
        """Signed with HMAC under the public key, which everybody has."""
        pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signed = signing_input(claims, {**(header or self.header()), "alg": algorithm})
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
        return f"{signed}.{segment(hmac.digest(pem, signed.encode(), digest))}"


def reissued(signer: Signer, token: str, **changes: Any) -> str:
    """`token` with other claims: as after another login, where `signer` has the key of auth."""
    return signer.token(jwt.decode(token, options={"verify_signature": False}) | changes)


def signing_input(claims: Mapping[str, Any] | str, header: Mapping[str, Any] | str) -> str:
    return f"{segment(json_text(header))}.{segment(json_text(claims))}"


def segment(content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def json_text(members: Mapping[str, Any] | str) -> str:
    if isinstance(members, str):
        return members
    texts = (f"{json.dumps(name)}:{_value(value)}" for name, value in members.items())
    return "{" + ",".join(texts) + "}"


def _value(value: Any) -> str:
    return value if isinstance(value, Raw) else json.dumps(value)
