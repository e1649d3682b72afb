"""A passkey without a browser: a P-256 key that answers the options of WebAuthn as an authenticator does."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypedDict, Unpack

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from login2fa_testing.answers import bearer, expect
from login2fa_testing.people import Tokens
from login2fa_testing.webauthn_bytes import (
    Flags,
    attestation_object,
    authenticator_data,
    base64url,
    from_base64url,
    new_key_data,
)


class NoAnswer(Exception):
    """A browser would ask the API nothing: the key is among those that are excluded, or not among those allowed."""


class Changes(TypedDict, total=False):
    """Parts of an answer that are to be others than the true ones: for tests of what is refused.

    `flags` and `counter` are those of the authenticator data, without the flag AT, which stays. `client_data` is laid
    over the client's: `{"crossOrigin": True}`, `{"topOrigin": ...}`, `{"type": ...}`, `{"challenge": ...}`.
    `credential_id` is told beside the signed data; that in the signed data stays the key's own.
    """

    origin: str
    rp_id: str
    flags: int
    counter: int
    user_handle: bytes | None
    credential_id: bytes
    client_data: Mapping[str, object]


class SoftwarePasskey:
    """One discoverable key, which verifies its user (flags UP and UV) and counts its signatures.

    `origin` is that of the page where a browser would be, as `https://login.example.com`: the origin of `ISSUER`,
    unless `WEBAUTHN_ORIGINS` is set. A `synced` key (flags BE and BS) counts nothing, as those of phones. A passkey is
    for one thread; `copy.copy` of it is its clone, with a counter of its own.
    """

    def __init__(self, origin: str, *, synced: bool = False) -> None:
        self.origin = origin
        self.synced = synced
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.counter = 0
        self.rp_id = ""
        self.user_handle: bytes | None = None
        self.id = ""
        self.recovery_codes: tuple[str, ...] = ()

    def register(self, client: httpx.Client, *, name: str | None = None) -> dict[str, Any]:
        """Enrol it for the account that `client` is logged in with. Returns what the API says of it.

        Raises:
            UnexpectedAnswer: the API refused it, as after a login that is too old.
        """
        body = self._answered(expect(client.post("/auth/factors/passkeys/options")))
        named = body if name is None else body | {"name": name}
        enrolled = expect(client.post("/auth/factors/passkeys", json=named), HTTPStatus.CREATED)
        self.id, self.recovery_codes = enrolled["id"], tuple(enrolled.get("recovery_codes") or ())
        return enrolled

    def log_in(self, client: httpx.Client) -> Tokens:
        """Log in with it alone: neither a username nor a password is sent."""
        body = self._answered(expect(client.post("/auth/passkey/options")))
        return Tokens.of(expect(client.post("/auth/passkey", json=body)))

    def verify(self, client: httpx.Client, temporary_token: str) -> Tokens:
        """Take the second step of a login."""
        headers = bearer(temporary_token)
        body = self._answered(expect(client.post("/auth/challenge/passkey", headers=headers)))
        return Tokens.of(expect(client.post("/auth/verify-passkey", json=body, headers=headers)))

    def answer(self, options: Mapping[str, Any], **changes: Unpack[Changes]) -> dict[str, Any]:
        """The credential that `navigator.credentials.create` or `.get` gives for these options, as JSON.

        Raises:
            NoAnswer: a browser would give none; ask with other `excludeCredentials` or `allowCredentials` to have one.
        """
        return self._created(options, changes) if "pubKeyCredParams" in options else self._asserted(options, changes)

    def _answered(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"ceremony": asked["ceremony"], "credential": self.answer(asked["options"])}

    def _created(self, options: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
        if self._is_among(options.get("excludeCredentials")):
            raise NoAnswer("The account has this passkey already.")
        self.rp_id, self.user_handle = options["rp"]["id"], from_base64url(options["user"]["id"])
        key = new_key_data(self.credential_id, self.private_key.public_key())
        data = self._authenticator_data(changes, Flags.AT, key)
        response = {
            "clientDataJSON": base64url(self._client_data("webauthn.create", options, changes)),
            "attestationObject": base64url(attestation_object(data)),
            "transports": ["internal"],
        }
        return self._credential(response, changes)

    def _asserted(self, options: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
        allowed = options.get("allowCredentials")
        if options["rpId"] != self.rp_id or (allowed and not self._is_among(allowed)):
            raise NoAnswer(f"This passkey is for {self.rp_id!r}, or not among those that are allowed.")
        self.counter += not self.synced
        data = self._authenticator_data(changes)
        client_data = self._client_data("webauthn.get", options, changes)
        signed = data + hashlib.sha256(client_data).digest()
        response = {
            "clientDataJSON": base64url(client_data),
            "authenticatorData": base64url(data),
            "signature": base64url(self.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))),
        }
        user_handle = changes.get("user_handle", self.user_handle)
        if user_handle is not None:
            response["userHandle"] = base64url(user_handle)
        return self._credential(response, changes)

    def _authenticator_data(self, changes: Changes, kind: int = 0, new_key: bytes = b"") -> bytes:
        true_flags = Flags.UP | Flags.UV | (Flags.BE | Flags.BS if self.synced else 0)
        flags = changes.get("flags", true_flags) | kind
        return authenticator_data(
            changes.get("rp_id", self.rp_id), flags, changes.get("counter", self.counter), new_key
        )

    def _client_data(self, kind: str, options: Mapping[str, Any], changes: Changes) -> bytes:
        origin = changes.get("origin", self.origin)
        told = {"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": False}
        return json.dumps(told | dict(changes.get("client_data", {})), separators=(",", ":")).encode()

    def _credential(self, response: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
        credential_id = base64url(changes.get("credential_id", self.credential_id))
        return {
            "id": credential_id,
            "rawId": credential_id,
            "type": "public-key",
            "response": response,
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
        }

    def _is_among(self, credentials: list[Mapping[str, Any]] | None) -> bool:
        return any(from_base64url(each["id"]) == self.credential_id for each in credentials or ())
