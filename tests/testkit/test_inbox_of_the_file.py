"""What only the inbox on the file channel's file has to cope with."""

from __future__ import annotations

from pathlib import Path

import pytest

from login2fa_testing import FileInbox

ANN = "ann@example.org"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "otp-logs.txt"


def test_a_file_that_is_not_there_yet_holds_no_codes(path: Path) -> None:
    assert FileInbox(path).codes(ANN) == []


def test_a_line_that_is_being_written_is_not_a_code_yet(path: Path) -> None:
    inbox = FileInbox(path)
    path.write_text(f"{ANN}/493817\n{ANN}/0000")

    assert inbox.codes(ANN) == ["493817"]


def test_the_same_code_on_lines_apart_is_two_deliveries(path: Path) -> None:
    path.write_text(f"{ANN}/493817\nbob@example.org/111111\n{ANN}/493817\n{ANN}/000042\n{ANN}/493817\n")

    assert FileInbox(path).codes(ANN) == ["493817", "000042", "493817"]


def test_an_address_with_a_slash_keeps_it(path: Path) -> None:
    path.write_text("ann/lee@example.org/493817\n")

    assert FileInbox(path).codes("ann/lee@example.org") == ["493817"]


def test_an_account_code_that_is_being_written_is_not_one_yet(path: Path) -> None:
    path.with_name("otp-logs.txt.account-codes").write_text(f"{ANN}/reset/K7X9M2Q4TZ\n{ANN}/reset/0000")

    assert FileInbox(path).account_codes(ANN, "reset") == ["K7X9M2Q4TZ"]


def test_clear_leaves_the_file_to_its_other_readers(path: Path) -> None:
    path.write_text(f"{ANN}/493817\n")
    FileInbox(path).clear()

    assert path.read_text() == f"{ANN}/493817\n"


def test_nothing_is_forgotten_of_a_file_that_was_begun_anew(path: Path) -> None:
    inbox = FileInbox(path)
    path.write_text(f"{ANN}/493817\n{ANN}/000042\n")
    assert inbox.wait_for_code(ANN) == "000042"
    inbox.clear()
    path.write_text(f"{ANN}/778899\n")

    assert inbox.codes(ANN) == ["778899"]
    assert inbox.wait_for_code(ANN) == "778899"
