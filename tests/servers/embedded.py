"""Driving an embedded PostgreSQL from tests: statements through psql, and lives in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.standalone.postgres import EmbeddedPostgres

PROJECT = Path(__file__).parents[2]


@contextmanager
def embedded(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Not started yet. At the end it is stopped and removed: pytest keeps what tests leave, 40 MB each."""
    postgres = EmbeddedPostgres(folder, settings)
    try:
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def ask(postgres: EmbeddedPostgres, statement: str) -> str:
    """Run `statement` as the superuser, and return what psql prints."""
    done = subprocess.run(
        [postgres.psql(), "--no-psqlrc", "-At", "-c", statement],
        env=os.environ | postgres.libpq_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_own_process(script: str, folder: Path, *, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the Python `script`, which finds `folder` in sys.argv[1]."""
    return subprocess.run(
        [*prefix, sys.executable, "-c", script, str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def running(pid: int) -> bool:
    """Whether the process lives: one that ended, and that nobody has asked for its exit code, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
