"""Options for the browser in a ceremony (WebAuthn section 5.4 and 5.5), as JSON for its `parse…OptionsFromJSON`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from services.auth.factors.ceremonies import LIFETIME
from services.auth.relying_party import RelyingParty

# ES256, EdDSA, RS256 (COSE): what authenticators have.
ALGORITHMS: Final = (-7, -8, -257)

# The unlocked key is two factors in one; without that it is one that can be stolen.
_VERIFIED: Final = "required"
_TIMEOUT: Final = LIFETIME * 1000


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def creation_options(
    party: RelyingParty, challenge: bytes, *, handle: bytes, username: str, known: Sequence[Any]
) -> dict[str, Any]:
    """`known`: rows of the account's passkeys, which may not be enrolled again."""
    return {
        "rp": {"id": party.rp_id, "name": party.rp_name},
        "user": {"id": base64url(handle), "name": username, "displayName": username},
        "challenge": base64url(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": _TIMEOUT,
        "excludeCredentials": _descriptors(known),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": _VERIFIED,
        },
        "attestation": "none",
    }


def request_options(party: RelyingParty, challenge: bytes, known: Sequence[Any] = ()) -> dict[str, Any]:
    """Without `known` the person chooses, among the keys that the authenticator keeps for us."""
    return {
        "challenge": base64url(challenge),
        "timeout": _TIMEOUT,
        "rpId": party.rp_id,
        "allowCredentials": _descriptors(known),
        "userVerification": _VERIFIED,
    }


def _descriptors(known: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"type": "public-key", "id": base64url(row.credential_id), "transports": list(row.transports)} for row in known
    ]
