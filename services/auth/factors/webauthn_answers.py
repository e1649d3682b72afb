"""Answers of browsers in ceremonies of passkeys, checked by the library `webauthn` and for what it overlooks.

The only module that imports the library, and only where passkeys are on: it costs 14 MB and a tenth of a second.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

from services.auth.factors.ceremonies import AnswerNotValid
from services.auth.factors.webauthn_options import ALGORITHMS, base64url
from services.auth.relying_party import RelyingParty

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_LONGEST_ID: Final = 1023  # bytes: WebAuthn section 5.8.3
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    synced: bool
    aaguid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """By the key. `user_handle`: the account that the authenticator keeps the key for, if it says so."""

    sign_count: int
    synced: bool
    user_handle: bytes | None


@dataclass(frozen=True, slots=True)
class WebauthnAnswers:
    """`credential`: as `PublicKeyCredential.toJSON()` writes it."""

    party: RelyingParty

    def new_key(self, credential: Mapping[str, Any], challenge: bytes) -> NewKey:
        """Raises `AnswerNotValid`."""
        with _one_refusal():
            answer = _strict(credential, "clientDataJSON", "attestationObject")
            _refuse_frames(answer)
            found = verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=self.party.rp_id,
                expected_origin=list(self.party.origins),
                require_user_verification=True,
                supported_pub_key_algs=[COSEAlgorithmIdentifier(each) for each in ALGORITHMS],
            )
            # The library does not look at a key that nobody attests: its owner could never log in with a broken one.
            decoded_public_key_to_cryptography(decode_credential_public_key(found.credential_public_key))
            if len(found.credential_id) > _LONGEST_ID or found.credential_id != _bytes(answer["id"]):
                raise AnswerNotValid("the id is too long, or not the attested one")
            return NewKey(
                credential_id=found.credential_id,
                public_key=found.credential_public_key,
                sign_count=found.sign_count,
                synced=found.credential_backed_up,
                aaguid=found.aaguid,
            )

    def signed(self, credential: Mapping[str, Any], challenge: bytes, public_key: bytes) -> Signed:
        """The caller compares the counter, which the library would do before the signature: anybody could then claim a
        clone. Raises `AnswerNotValid`.
        """
        with _one_refusal():
            answer = _strict(credential, "clientDataJSON", "authenticatorData", "signature")
            _refuse_frames(answer)
            found = verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=self.party.rp_id,
                expected_origin=list(self.party.origins),
                credential_public_key=public_key,
                credential_current_sign_count=0,
                require_user_verification=True,
            )
            handle = credential["response"].get("userHandle")
            return Signed(
                sign_count=found.new_sign_count,
                synced=found.credential_backed_up,
                user_handle=_bytes(handle) if handle is not None else None,
            )

    def credential_id(self, credential: Mapping[str, Any]) -> bytes:
        """Raises `AnswerNotValid`."""
        with _one_refusal():
            return _bytes(credential["id"])


@contextmanager
def _one_refusal() -> Iterator[None]:
    try:
        yield
    except AnswerNotValid:
        raise
    except WebAuthnException as error:
        raise AnswerNotValid(str(error)[:_LONGEST_REASON]) from None
    except Exception as error:  # noqa: BLE001 - errors of its parts leave the library as they are, each a 500
        raise AnswerNotValid(type(error).__name__) from None


def _strict(credential: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """Only what is looked at. The library would read other base64 too, and so one answer in many spellings."""
    answer = {name: base64url(_bytes(credential[name])) for name in ("id", "rawId")}
    response = {name: base64url(_bytes(credential["response"][name])) for name in fields}
    return {**answer, "type": credential["type"], "response": response}


def _bytes(text: str) -> bytes:
    """The only spelling of these bytes in base64url, without padding."""
    if not _BASE64URL.fullmatch(text):
        raise AnswerNotValid("not base64url")
    read = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(read) != text:
        raise AnswerNotValid("bits beyond the end of base64url")
    return read


def _refuse_frames(answer: Mapping[str, Any]) -> None:
    """A page that another site frames gets no passkey: the person sees that site's address."""
    told = json.loads(_bytes(answer["response"]["clientDataJSON"]))
    if told.get("crossOrigin", False) is not False or "topOrigin" in told:
        raise AnswerNotValid("asked from within the page of another origin")
