"""The short way of an address that is like most of them says what the library says, and asks it of all others."""

from __future__ import annotations

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier import deliver
from services.notifier.deliver import one_address
from shared.events import MalformedEvent

PLAIN = st.from_regex(deliver._PLAIN_ADDRESS, fullmatch=True)
RESERVED = st.sampled_from(SPECIAL_USE_DOMAIN_NAMES)


def by_the_library(address: str) -> str | None:
    try:
        checked = validate_email(address, allow_smtputf8=False, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    return checked.ascii_email or checked.normalized


def by_us(address: str) -> str | None:
    try:
        return one_address(address, "a.type")
    except MalformedEvent:
        return None


@given(address=PLAIN | st.builds("{}.{}".format, PLAIN, RESERVED))
@example(address="a" * 64 + "@example.org")
@example(address="a@" + "b" * 57 + ".com.org")
@example(address="postmaster@example.org")
@example(address="ann@xn-a.example.org")
def test_a_plain_address_is_taken_or_refused_as_the_library_does(address: str) -> None:
    assert by_us(address) == by_the_library(address)


@pytest.mark.parametrize("address", ["ann@example.org", "ann.b+c_d-e@mail-1.example.org"])
def test_the_library_is_not_asked_of_a_plain_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(deliver, "validate_email")
    assert one_address(address, "a.type") == address
