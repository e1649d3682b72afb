"""The passkey without a browser, before a library that relying parties use; against the API: test_running.py."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import PublicKeyCredentialDescriptor
from webauthn.registration.verify_registration_response import VerifiedRegistration

from login2fa_testing import Flags, NoAnswer, SoftwarePasskey

RP_ID = "example.org"
ORIGIN = "https://login.example.org"
CHALLENGE = bytes(range(32))
USER_HANDLE = b"somebody".ljust(32, b"\0")


def creation(**given: Any) -> dict[str, Any]:
    options = generate_registration_options(
        rp_id=RP_ID, rp_name="Example", user_name="ann", user_id=USER_HANDLE, challenge=CHALLENGE, **given
    )
    return dict(json.loads(options_to_json(options)))


def request(**given: Any) -> dict[str, Any]:
    options = generate_authentication_options(rp_id=RP_ID, challenge=CHALLENGE, **given)
    return dict(json.loads(options_to_json(options)))


def registered(passkey: SoftwarePasskey) -> VerifiedRegistration:
    return verify_registration_response(
        credential=passkey.answer(creation()),
        expected_challenge=CHALLENGE,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        require_user_verification=True,
    )


def verified(credential: dict[str, Any], of: VerifiedRegistration, counter: int = 0) -> VerifiedAuthentication:
    return verify_authentication_response(
        credential=credential,
        expected_challenge=CHALLENGE,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=of.credential_public_key,
        credential_current_sign_count=counter,
        require_user_verification=True,
    )


@pytest.mark.parametrize(
    ("synced", "kind", "counters"), [(False, "single_device", [1, 2]), (True, "multi_device", [0, 0])]
)
def test_a_relying_party_takes_its_registration_and_its_logins(synced: bool, kind: str, counters: list[int]) -> None:
    passkey = SoftwarePasskey(ORIGIN, synced=synced)
    registration = registered(passkey)

    assert (registration.credential_id, registration.sign_count) == (passkey.credential_id, 0)
    assert (registration.credential_device_type, registration.credential_backed_up) == (kind, synced)
    counter = 0
    for expected in counters:
        counter = verified(passkey.answer(request()), registration, counter).new_sign_count
        assert counter == expected


def test_it_tells_the_account_by_the_handle_that_it_was_given() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    registered(passkey)

    assert base64url_to_bytes(passkey.answer(request())["response"]["userHandle"]) == USER_HANDLE
    assert "userHandle" not in passkey.answer(request(), user_handle=None)["response"]


def test_all_its_bytes_are_strict_base64url() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    answers = [passkey.answer(creation()), passkey.answer(request())]

    texts = [text for each in answers for text in (each["id"], each["rawId"], *each["response"].values())]
    assert not [text for text in texts if isinstance(text, str) and not re.fullmatch(r"[A-Za-z0-9_-]+", text)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"origin": "https://login.example.net"}, "origin"),
        ({"rp_id": "example.net"}, "RP ID"),
        ({"flags": Flags.UP}, "User verification is required"),
        ({"flags": Flags.UV}, "User was not present"),
        ({"counter": 3}, "sign count"),
        ({"client_data": {"challenge": "AAAA"}}, "challenge"),
        ({"client_data": {"type": "webauthn.create"}}, "type"),
    ],
)
def test_what_a_test_changes_in_an_answer_is_what_a_relying_party_refuses(changes: Any, said: str) -> None:
    passkey = SoftwarePasskey(ORIGIN)
    registration = registered(passkey)
    passkey.counter = 3

    with pytest.raises(WebAuthnException, match=f"(?i){said}"):
        verified(passkey.answer(request(), **changes), registration, counter=3)

    assert verified(passkey.answer(request()), registration, counter=3).new_sign_count == 5


def test_what_a_library_may_not_look_at_is_changed_too() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    registered(passkey)
    framed = {"crossOrigin": True, "topOrigin": "https://evil.example"}

    answer = passkey.answer(request(), client_data=framed, user_handle=b"eve", credential_id=b"another")

    told = json.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
    assert told == framed | {"type": "webauthn.get", "challenge": request()["challenge"], "origin": ORIGIN}
    assert base64url_to_bytes(answer["response"]["userHandle"]) == b"eve"
    assert base64url_to_bytes(answer["id"]) == b"another"


def test_its_clone_counts_for_itself() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    registration = registered(passkey)
    clone = copy.copy(passkey)
    passkey.answer(request())

    assert verified(clone.answer(request()), registration).new_sign_count == 1
    assert passkey.counter == 1


def test_as_in_a_browser_it_answers_only_for_itself() -> None:
    passkey = SoftwarePasskey(ORIGIN)
    with pytest.raises(NoAnswer):
        passkey.answer(request())
    registered(passkey)
    itself, another = (PublicKeyCredentialDescriptor(id=each) for each in (passkey.credential_id, b"another"))

    with pytest.raises(NoAnswer):
        passkey.answer(creation(exclude_credentials=[another, itself]))
    with pytest.raises(NoAnswer):
        passkey.answer(request(allow_credentials=[another]))
    assert passkey.answer(request(allow_credentials=[another, itself]))
