"""Which addresses are taken, by users and notifier alike; the notifier's short way says what the library says."""

from __future__ import annotations

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier import recipient as recipient_module
from services.notifier.recipient import recipient
from services.users.accounts import valid_email
from services.users.problems import EmailNotValid
from shared.mail_address import RESERVED, AddressInvalid, one_address
from shared.messaging.events import MalformedEvent

PLAIN = st.from_regex(recipient_module._PLAIN_ADDRESS, fullmatch=True)
SPECIAL = st.sampled_from([*SPECIAL_USE_DOMAIN_NAMES, *RESERVED])


def by_the_library(address: str, *, reserved: bool) -> str | None:
    try:
        return one_address(address, reserved=reserved)
    except AddressInvalid:
        return None


def by_the_notifier(address: str, *, reserved: bool) -> str | None:
    try:
        return recipient(address, "a.type", reserved=reserved)
    except MalformedEvent:
        return None


def by_users(address: str, *, reserved: bool) -> str | None:
    try:
        return valid_email(address, reserved=reserved)
    except EmailNotValid:
        return None


@given(address=PLAIN | st.builds("{}.{}".format, PLAIN, SPECIAL), reserved=st.booleans())
@example(address="a" * 64 + "@example.org", reserved=True)
@example(address="a@" + "b" * 57 + ".com.org", reserved=True)
@example(address="postmaster@example.org", reserved=True)
@example(address="ann@xn-a.example.org", reserved=True)
def test_a_plain_address_is_taken_or_refused_as_the_library_does(address: str, reserved: bool) -> None:
    assert by_the_notifier(address, reserved=reserved) == by_the_library(address, reserved=reserved)


@pytest.mark.parametrize("address", ["ann@example.org", "ann.b+c_d-e@mail-1.example.org"])
def test_the_library_is_not_asked_of_a_plain_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(recipient_module, "one_address")
    assert recipient(address, "a.type", reserved=True) == address


AT_RESERVED = [
    *(f"ann@{name}" for name in RESERVED),
    *(f"ann@mail.{name}" for name in RESERVED),
    *("ann@LOCALHOST", "ann@mail.Internal", "ann@b\u00fccher.test"),
]
SEEM_RESERVED = ["ann@example.org", "ann@example.com", "ann@latest.org", "ann@test.com", "ann@local.example.net"]


@pytest.mark.parametrize("address", AT_RESERVED)
def test_users_and_notifier_take_an_address_at_a_reserved_domain_and_refuse_it_where_they_are_told_to(
    address: str,
) -> None:
    taken = by_users(address, reserved=True)

    assert taken is not None
    assert by_the_notifier(taken, reserved=True) == taken
    assert by_users(address, reserved=False) is None
    assert by_the_notifier(taken, reserved=False) is None


@pytest.mark.parametrize("address", SEEM_RESERVED)
def test_an_address_that_is_only_like_one_is_taken_in_either_case(address: str) -> None:
    for reserved in (True, False):
        assert by_users(address, reserved=reserved) == by_the_notifier(address, reserved=reserved) == address


@pytest.mark.parametrize("domain", ["invalid", "mail.invalid", "onion", "in-addr.arpa"])
def test_where_no_mailbox_can_be_no_address_is_taken(domain: str) -> None:
    assert by_users(f"ann@{domain}", reserved=True) is by_the_notifier(f"ann@{domain}", reserved=True) is None
