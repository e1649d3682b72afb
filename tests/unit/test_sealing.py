"""Sealed fields open where they were sealed, with a listed key, and nowhere else: shared.sealing."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.sealing import Sealer, Unsealable

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(value=st.text(), context=st.text())
def test_what_was_sealed_opens_in_its_place(value: str, context: str) -> None:
    sealer = Sealer([NEW])
    assert sealer.open(sealer.seal(value, context), context) == value


def test_the_value_is_not_in_the_sealed_text() -> None:
    sealed = Sealer([NEW]).seal("493817", "event-1:code")
    assert "493817" not in sealed
    assert b"493817" not in base64.urlsafe_b64decode(sealed)


def test_the_same_value_never_seals_to_the_same_text() -> None:
    sealer = Sealer([NEW])
    assert sealer.seal("493817", "event-1:code") != sealer.seal("493817", "event-1:code")


def test_any_flipped_byte_is_refused() -> None:
    sealer = Sealer([NEW])
    token = base64.urlsafe_b64decode(sealer.seal("493817", "event-1:code"))
    for position in range(len(token)):
        damaged = bytearray(token)
        damaged[position] ^= 1
        with pytest.raises(Unsealable):
            sealer.open(base64.urlsafe_b64encode(damaged).decode(), "event-1:code")


@pytest.mark.parametrize("context", ["event-2:code", "event-1:password_hash", "event-1", ""])
def test_what_was_moved_to_another_event_or_field_is_refused(context: str) -> None:
    sealer = Sealer([NEW])
    with pytest.raises(Unsealable, match="another event"):
        sealer.open(sealer.seal("493817", "event-1:code"), context)


@given(garbage=st.text(st.characters()))
def test_what_was_never_sealed_is_refused(garbage: str) -> None:
    with pytest.raises(Unsealable):
        Sealer([NEW]).open(garbage, "event-1:code")


def test_a_refusal_does_not_tell_the_value() -> None:
    sealer = Sealer([NEW])
    with pytest.raises(Unsealable) as refused:
        sealer.open(sealer.seal("493817", "event-1:code"), "event-2:code")
    assert "493817" not in str(refused.value)


def test_during_a_rotation_the_first_key_seals_and_every_listed_key_opens() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    sealed_before, sealed_during = before.seal("code", "here"), during.seal("code", "here")

    assert during.open(sealed_before, "here") == "code"
    assert after.open(sealed_during, "here") == "code"
    for sealer, sealed in ((before, sealed_during), (after, sealed_before)):
        with pytest.raises(Unsealable):
            sealer.open(sealed, "here")


def test_keys_from_the_settings_are_unwrapped() -> None:
    assert Sealer([NEW]).open(Sealer.of([SecretStr(NEW)]).seal("code", "here"), "here") == "code"
