"""Signing keys come and go in a folder that running processes watch: services.auth.tokens.keys."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth.tokens import keys
from services.auth.tokens.keys import KeyRing, generate, retire
from tests.pem_files import write_key


def now() -> datetime:
    """Of the test, not of the import: a long run comes here half an hour later."""
    return datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def _watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring looks at its folder at every use, and not only every few seconds."""
    monkeypatch.setattr(keys, "_RELOAD_AFTER", 0.0)


def published(ring: KeyRing) -> list[str]:
    return [key["kid"] for key in json.loads(ring.document()[0])["keys"]]


def signed_by(ring: KeyRing) -> str:
    return ring.signing_key().kid


@pytest.mark.usefixtures("_watchful")
def test_a_new_key_is_published_before_it_signs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(folder, signs_from=now() - timedelta(days=1))
    ring = KeyRing(folder)
    old = signed_by(ring)

    generate(folder, signs_from=now() + timedelta(minutes=15))
    assert len(published(ring)) == 2
    assert signed_by(ring) == old

    monkeypatch.setattr(time, "time", (now() + timedelta(minutes=16)).timestamp)
    (new,) = set(published(ring)) - {old}
    assert signed_by(ring) == new
    assert ring.find(old)
    assert ring.find(new)


def test_the_only_key_signs_even_before_its_time(folder: Path) -> None:
    generate(folder, signs_from=now() + timedelta(days=1))
    ring = KeyRing(folder)
    assert [signed_by(ring)] == published(ring)


@pytest.mark.usefixtures("_watchful")
def test_a_running_ring_notices_new_and_removed_keys_and_changes_its_etag(folder: Path) -> None:
    old = generate(folder, signs_from=now() - timedelta(days=1))
    ring = KeyRing(folder)
    before, etag = published(ring), ring.document()[1]

    generate(folder, signs_from=now())
    both = published(ring)
    assert len(both) == 2
    assert ring.document()[1] != etag

    old.unlink()
    assert published(ring) == [kid for kid in both if kid not in before]
    assert ring.find(before[0]) is None


@pytest.mark.usefixtures("_watchful")
def test_a_running_ring_notices_a_key_that_was_replaced_under_its_name(folder: Path) -> None:
    write_key(folder / "own.pem", ec.generate_private_key(ec.SECP256R1()))
    ring = KeyRing(folder)
    before = signed_by(ring)

    write_key(folder / "own.pem", ec.generate_private_key(ec.SECP256R1()))
    os.utime(folder / "own.pem", (1, 1))

    assert signed_by(ring) != before


def test_the_folder_is_not_looked_at_for_each_request(folder: Path) -> None:
    generate(folder)
    ring = KeyRing(folder)
    before = published(ring)  # looks, and will not look again for some seconds
    generate(folder)
    assert published(ring) == before


@pytest.mark.usefixtures("_watchful")
@pytest.mark.parametrize("damage", ["broken", "emptied", "gone"])
def test_a_running_ring_goes_on_while_an_operator_is_in_the_middle_of_work(folder: Path, damage: str) -> None:
    path = generate(folder)
    ring = KeyRing(folder)
    before = published(ring)

    if damage == "broken":
        (folder / "half.pem").write_text("-----BEGIN")
    else:
        path.unlink()
    if damage == "gone":
        folder.rmdir()
    assert published(ring) == before
    assert ring.find(before[0])
    assert [signed_by(ring)] == before

    new = generate(folder)
    (folder / "half.pem").unlink(missing_ok=True)
    assert KeyRing(folder).find(published(ring)[0])
    assert new.exists()


# --- retired


def test_only_keys_whose_successor_has_signed_for_long_are_removed(folder: Path) -> None:
    oldest = generate(folder, signs_from=now() - timedelta(days=90))
    older = generate(folder, signs_from=now() - timedelta(days=60))
    current = generate(folder, signs_from=now() - timedelta(days=10))
    coming = generate(folder, signs_from=now() + timedelta(hours=1))

    assert retire(folder, superseded_before=now() - timedelta(days=31)) == [oldest]
    assert set(folder.iterdir()) == {older, current, coming}

    assert retire(folder, superseded_before=now()) == [older]
    assert set(folder.iterdir()) == {current, coming}


def test_the_key_that_signs_is_never_removed(folder: Path) -> None:
    only = generate(folder, signs_from=now() - timedelta(days=365))
    assert retire(folder, superseded_before=now()) == []
    coming = generate(folder, signs_from=now() + timedelta(minutes=15))
    assert retire(folder, superseded_before=now()) == []
    assert set(folder.iterdir()) == {only, coming}


def test_keys_named_by_the_operator_are_kept_until_a_dated_one_has_followed_them(folder: Path) -> None:
    # They were taken for each other's successors: the first of two, which signs, was removed at once.
    for name in ("a.pem", "b.pem"):
        write_key(folder / name, ec.generate_private_key(ec.SECP256R1()))
    generate(folder, signs_from=now() + timedelta(minutes=15))
    signing = signed_by(KeyRing(folder))

    assert retire(folder, superseded_before=now() - timedelta(days=31)) == []
    assert signed_by(KeyRing(folder)) == signing

    assert {path.name for path in retire(folder, superseded_before=now() + timedelta(days=31))} == {"a.pem", "b.pem"}


def test_retiring_in_an_empty_folder_does_nothing(tmp_path: Path) -> None:
    assert retire(tmp_path, superseded_before=now()) == []
