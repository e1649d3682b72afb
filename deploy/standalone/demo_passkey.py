"""A passkey in software, in the place of the demo's browser. Tests of your own use the one of the testkit."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

USER_IS_THERE_AND_VERIFIED = 0x05
KEY_FOLLOWS = 0x40
NO_MODEL = bytes(16)


class DemoPasskey:
    """One key, which answers the options of WebAuthn as a browser at `origin` does."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._id = secrets.token_bytes(16)
        self._user_handle = ""
        self._signatures = 0

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self._user_handle = options["user"]["id"]
        data = self._data(options["rp"]["id"], USER_IS_THERE_AND_VERIFIED | KEY_FOLLOWS)
        data += NO_MODEL + len(self._id).to_bytes(2) + self._id + self._public_key()
        attested = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(clientDataJSON=self._client_data("create", options), attestationObject=attested)

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self._signatures += 1
        data = self._data(options["rpId"], USER_IS_THERE_AND_VERIFIED)
        client_data = self._client_data("get", options)
        signature = self._key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        handle = base64url_to_bytes(self._user_handle)
        return self._credential(
            clientDataJSON=client_data, authenticatorData=data, signature=signature, userHandle=handle
        )

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self._signatures.to_bytes(4)

    def _public_key(self) -> bytes:
        """ES256 on P-256, as COSE writes it."""
        point = self._key.public_key().public_numbers()
        return encode_cbor({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)})

    def _client_data(self, kind: str, options: Mapping[str, Any]) -> bytes:
        told = {"type": f"webauthn.{kind}", "challenge": options["challenge"], "origin": self._origin}
        return json.dumps(told).encode()

    def _credential(self, **response: bytes) -> dict[str, Any]:
        encoded = {name: bytes_to_base64url(value) for name, value in response.items()}
        own = bytes_to_base64url(self._id)
        return {"id": own, "rawId": own, "type": "public-key", "response": encoded, "clientExtensionResults": {}}
