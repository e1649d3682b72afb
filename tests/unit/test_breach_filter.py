"""BREACHED_PASSWORDS: what is in the list is found, what is not seldom is, and a bad list or file is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.users.breach_filter import BLOCK, BreachFilter, BreachFilterInvalid, verified

STOLEN = [f"stolen password {number}" for number in range(20_000)]


def pwned(passwords: Iterable[str]) -> bytes:
    """As Pwned Passwords lists them: in the order of their hashes, with Windows' ends of lines."""
    digests = sorted(hashlib.sha1(each.encode()).hexdigest().upper() for each in passwords)
    return "\r\n".join(f"{digest}:{number}" for number, digest in enumerate(digests, 1)).encode()


def build(folder: Path, listed: bytes) -> Result:
    (folder / "list.txt").write_bytes(listed)
    arguments = ["passwords", "build-filter", str(folder / "list.txt"), "--to", str(folder / "filter")]
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    result = build(folder, pwned(STOLEN))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"(20000 lines, {(folder / 'filter').stat().st_size} bytes)" in result.stdout
    assert {path.name for path in folder.iterdir()} == {"list.txt", "filter"}
    return folder / "filter"


def test_every_password_of_the_list_is_found_and_fewer_than_one_in_1000_of_others(built: Path) -> None:
    filter_ = verified(built)
    assert filter_ is not None
    assert all(filter_.holds(each) for each in STOLEN)
    # The passwords are always the same, and so is the figure.
    assert 0 < sum(filter_.holds(f"nobody's password {number}") for number in range(200_000)) < 200
    assert built.stat().st_size <= 2 * len(STOLEN) + 2 * BLOCK


def test_a_list_of_passwords_gives_the_same_and_finds_a_password_as_it_is_typed_and_as_it_is_stored(
    tmp_path: Path,
) -> None:
    # Twice the ligature, once as the list has it; a blank at the end is part of a password.
    listed = ["\ufeffletmein now", "", "of\ufb01cial secret", "trailing blank ", "caf\u00e9 au lait"]
    assert build(tmp_path, "\n".join(listed).encode()).exit_code == 0
    filter_ = BreachFilter(tmp_path / "filter")
    assert all(map(filter_.holds, ["letmein now", "of\ufb01cial secret", "trailing blank ", "cafe\u0301 au lait"]))
    assert not any(map(filter_.holds, ["", "trailing blank", "Letmein now"]))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (b"", "is empty"),
        (pwned(["a", "b"]) + b"\r\nhunter2\r\n", "line 3: not 40 hexadecimal digits"),
        (pwned(["a"]) + b"\n+" + b"0" * 39 + b":1", "line 2: not 40 hexadecimal digits"),
        (pwned(["a"]) + b"\n" + b"0" * 41, "line 2: not 40 hexadecimal digits"),
        (b"8846F7EAEE8FB117AD06BDD830B7586C:9\n", "no SHA-1 hashes in full"),
        (b"0018A45C4D1DEF81644B54AB7F969B88D65:10\n", "no SHA-1 hashes in full"),
        (b"x" * 3_000_000, "more than a million bytes"),
    ],
    ids=["empty", "another line", "a sign", "a digit too many", "NTLM", "a range", "no lines"],
)
def test_a_bad_list_is_refused_and_the_file_that_was_there_stays(tmp_path: Path, listed: bytes, said: str) -> None:
    (tmp_path / "filter").write_text("the one before")
    result = build(tmp_path, listed)
    assert (result.exit_code, said in result.stderr, "hunter2" in result.output) == (2, True, False), result.output
    assert (tmp_path / "filter").read_text() == "the one before"
    assert {path.name for path in tmp_path.iterdir()} == {"list.txt", "filter"}


def test_a_missing_list_or_folder_is_named(tmp_path: Path) -> None:
    arguments = ["passwords", "build-filter", str(tmp_path / "none"), "--to", str(tmp_path / "filter")]
    assert f"Cannot use {tmp_path / 'none'}: No such file" in CliRunner().invoke(app, arguments).stderr


def test_a_file_that_is_damaged_or_no_filter_is_refused(built: Path, tmp_path: Path) -> None:
    whole, copy = built.read_bytes(), tmp_path / "filter"
    for broken, said in (
        (b"", "no filter"),
        (b"[]\n", "no filter"),
        (whole.replace(b'"version": 1', b'"version": 2'), "another version"),
        (whole.replace(b'"blocks"', b'"blacks"'), "damaged"),
        (whole[:-1], "damaged"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "damaged"),
    ):
        copy.write_bytes(broken)
        with pytest.raises(BreachFilterInvalid, match=said):
            verified(copy)
    with pytest.raises(BreachFilterInvalid, match="Is a directory"):
        verified(tmp_path)
