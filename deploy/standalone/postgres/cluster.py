"""The files of a cluster: created whole or not at all, with a password that only their owner can read."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.standalone.postgres.account import Account
from deploy.standalone.postgres.failures import PostgresFailed, from_output
from deploy.standalone.postgres.programs import MAJOR, environment

INITDB_SECONDS = 180.0  # half a second on a quiet machine


def private_folder(path: Path, account: Account) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    account.give(path)


def superuser_password(folder: Path) -> str:
    """Generated if there is no cluster yet. Raises `PostgresFailed` if its file is lost."""
    path = folder / "superuser-password"
    if path.exists() and (kept := path.read_text().strip()):
        return kept
    if (folder / "data").exists():
        raise PostgresFailed(
            f"{path} is missing or empty, and the database in {folder} can't be opened without it:"
            f" bring it back, or remove {folder} to start with an empty one."
        )
    path.unlink(missing_ok=True)
    password = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    return password


def ensure_cluster(folder: Path, programs: Path, account: Account, password: str) -> None:
    """Creates `folder`/data if it is missing. A kill -9 leaves a temporary folder, never half a cluster."""
    data = folder / "data"
    for leftover in folder.glob("data.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if data.exists():
        _check_version(data)
        if account.owner and data.stat().st_uid != account.owner[0]:
            account.give(data)  # made when user namespaces were still allowed
        return
    new = Path(tempfile.mkdtemp(prefix="data.new-", dir=folder))
    account.give(new)
    try:
        _initdb(folder, new, programs, account, password)
        new.rename(data)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_version(data: Path) -> None:
    version = data / "PG_VERSION"
    found = version.read_text().strip() if version.exists() else "none"
    if found != MAJOR:
        raise PostgresFailed(
            f"{data} is no database of PostgreSQL {MAJOR} (its version: {found}): move it away,"
            " or choose another folder with STATE_DIR."
        )


def _initdb(folder: Path, data: Path, programs: Path, account: Account, password: str) -> None:
    password_file = folder / "run" / "initdb-password"  # `account` can't read the one that we keep
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    account.give(password_file)
    command = [
        *account.prefix,
        str(programs / "initdb"),
        *("-D", str(data), "-U", "postgres", f"--pwfile={password_file}", "-A", "scram-sha-256"),
        # Built-in collation: an upgrade of the C library does not change the sort order.
        *("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=INITDB_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise from_output(folder, "initdb", f"not done within {INITDB_SECONDS:.0f} s") from error
    finally:
        password_file.unlink()
    if done.returncode != 0:
        raise from_output(folder, "initdb", done.stdout)
