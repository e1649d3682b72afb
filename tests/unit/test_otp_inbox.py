"""The one-time codes as `make demo` and `make postman` read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.standalone.otp_inbox import OtpInbox


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "otp-logs.txt"


def test_the_newest_code_of_that_address_is_given(file: Path) -> None:
    file.write_text("ann@example.org/000001\nbob@example.org/000002\nann@example.org/000003\nbob@example.org/000004\n")

    assert OtpInbox(file).next_code("ann@example.org") == "000003"


def test_a_code_is_given_once_so_that_nobody_takes_it_for_the_next_one(file: Path) -> None:
    file.write_text("ann@example.org/000001\n")
    inbox = OtpInbox(file, patience=0)

    assert inbox.next_code("ann@example.org") == "000001"
    assert inbox.next_code("ann@example.org") is None
    with file.open("a") as log:
        log.write("ann@example.org/000001\n")
    assert inbox.next_code("ann@example.org") == "000001", "the same digits, sent anew"


def test_half_a_line_is_no_code_yet(file: Path) -> None:
    file.write_text("ann@example.org/0000")

    assert OtpInbox(file, patience=0).next_code("ann@example.org") is None


def test_an_address_may_hold_a_slash(file: Path) -> None:
    file.write_text("a/b@example.org/000001\n")

    assert OtpInbox(file).next_code("a/b@example.org") == "000001"


def test_an_account_code_is_given_for_its_purpose_alone_and_never_as_a_login_code(file: Path) -> None:
    inbox = OtpInbox(file, patience=0)
    inbox.account_codes.write_text("a/b@example.org/verify/0123456789\na/b@example.org/reset/K7X9M2Q4TZ\n")

    assert inbox.next_code("a/b@example.org") is None
    assert inbox.next_code("a/b@example.org", "reset") == "K7X9M2Q4TZ"
    assert inbox.next_code("a/b@example.org", "reset") is None
    assert inbox.next_code("a/b@example.org", "verify") == "0123456789"


def test_before_the_first_delivery_there_is_no_file_and_no_code(file: Path) -> None:
    assert OtpInbox(file, patience=0).next_code("ann@example.org") is None
