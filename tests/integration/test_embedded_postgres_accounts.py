"""Whoever runs `make up`, no permission and no owner changes anywhere, and PostgreSQL runs."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed, account
from deploy.standalone.postgres.programs import programs
from tests.integration.test_embedded_postgres_refusals import ORDINARY, START
from tests.servers.embedded import ask, embedded, in_own_process

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="what happens to root is tested as root")


def permissions(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode and owner of the paths, and of all folders above them."""
    everything = {folder for path in paths for folder in (path, *path.parents)}
    return {path: (found.st_mode, found.st_uid, found.st_gid) for path in everything if (found := path.stat())}


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """One that every user may look into: pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="login2fa-pg-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_nothing_above_the_folder_or_the_programs_changes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    state = home / "project" / ".local"
    state.mkdir(parents=True)
    watched = (state, *programs().iterdir())
    before = permissions(*watched)

    with embedded(state / "pg") as postgres:
        postgres.start()
        assert ask(postgres, "SELECT 1") == "1"
        assert {path.lstat().st_uid for path in state.rglob("*")} == {os.geteuid()}

    assert permissions(*watched) == before


def test_an_ordinary_user_needs_nothing_of_root(tmp_path: Path) -> None:
    done = in_own_process(START, tmp_path / "pg", prefix=ORDINARY)

    assert done.stdout == "started\n", done


@AS_ROOT
def test_root_without_user_namespaces_runs_it_as_nobody(public_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_namespace", lambda: None)
    watched = (public_folder, *programs().iterdir())
    before = permissions(*watched)
    postgres = EmbeddedPostgres(public_folder)

    if not all(folder.stat().st_mode & 0o001 for folder in programs().parents):
        with pytest.raises(PostgresFailed, match="can't reach"):
            postgres.start()
        return
    for _ in range(2):
        postgres.start()
        assert ask(postgres, "SELECT 1") == "1"
        assert Path(f"/proc/{postgres.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        postgres.stop()
    assert permissions(*watched) == before


@AS_ROOT
def test_a_cluster_moves_from_user_namespaces_to_nobody(public_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = EmbeddedPostgres(public_folder)
    postgres.start()
    ask(postgres, "CREATE TABLE kept ()")
    postgres.stop()

    monkeypatch.setattr(account, "_namespace", lambda: None)
    try:
        postgres.start()
    except PostgresFailed as failure:
        assert "can't reach" in str(failure)  # noqa: PT017 - where the project is private, that is the answer
    else:
        assert ask(postgres, "SELECT to_regclass('kept')") == "kept"
    postgres.stop()


@AS_ROOT
def test_root_without_user_namespaces_in_a_private_place_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_namespace", lambda: None)
    tmp_path.chmod(0o700)

    with pytest.raises(PostgresFailed, match="run as an ordinary user"):
        EmbeddedPostgres(tmp_path).start()


@AS_ROOT
def test_an_ordinary_user_is_told_of_a_cluster_that_is_not_his(tmp_path: Path) -> None:
    """Seen from a namespace of its own, uid 1000's folder is nobody's that it could become."""
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 1000, 1000)
    prefix = ("unshare", "--user", "--map-user=1", "--map-group=1")

    done = in_own_process(START, tmp_path, prefix=prefix)

    assert "belongs to another user" in done.stdout, done
