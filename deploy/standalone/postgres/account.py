"""The account that PostgreSQL runs as. It refuses root, so root becomes `nobody`, in a user namespace if possible."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.standalone.postgres.failures import PostgresFailed


@dataclass(frozen=True)
class Account:
    """Put `prefix` before a command to run it as this account. `owner` must own the files that it writes."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def give(self, path: Path) -> None:
        if self.owner:
            os.chown(path, *self.owner)
            for folder, folders, files in os.walk(path):
                for name in (*folders, *files):
                    os.chown(Path(folder, name), *self.owner, follow_symlinks=False)


def account_for(folder: Path, programs: Path) -> Account:
    """The account for the cluster `folder`/data, which may not exist yet. Raises `PostgresFailed`."""
    data = folder / "data"
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() == 0:
        return _for_root(folder, programs, owner)
    if owner not in (None, os.geteuid()):
        raise PostgresFailed(
            f"{data} belongs to another user: run as that user, or choose another folder with STATE_DIR."
        )
    if _has_name(os.geteuid()):
        return Account()
    if mapped := _namespace():  # initdb needs a name for its user
        return mapped
    raise PostgresFailed(
        f"The user id {os.geteuid()} has no entry in /etc/passwd, without which PostgreSQL can't be set up:"
        " run as a user who has a name."
    )


def _for_root(folder: Path, programs: Path, owner: int | None) -> Account:
    if not owner and (mapped := _namespace()):
        return mapped
    unprivileged = _switched(owner) if owner else _switched(_nobody())
    if unprivileged and _reaches(unprivileged, folder, programs):
        return unprivileged
    raise PostgresFailed(
        "PostgreSQL does not run as root, user namespaces are not allowed here, and an unprivileged user"
        f" can't reach {programs} and {folder}: run as an ordinary user, or move the project and STATE_DIR"
        " to where every user may look."
    )


def _namespace() -> Account | None:
    """Our user, named `nobody` inside: file owners stay the same. Not allowed in a default Docker container."""
    unshare = shutil.which("unshare")
    nobody = _nobody()
    if not unshare or not _has_name(nobody):
        return None
    account = Account((unshare, "--user", f"--map-user={nobody}", f"--map-group={nobody}"))
    return account if _runs(account, "true") else None


def _switched(uid: int) -> Account | None:
    setpriv = shutil.which("setpriv")
    if not setpriv or not _has_name(uid):
        return None
    gid = pwd.getpwuid(uid).pw_gid
    return Account((setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"), (uid, gid))


def _reaches(account: Account, folder: Path, programs: Path) -> bool:
    return _runs(account, "test", "-x", str(folder)) and _runs(account, str(programs / "postgres"), "--version")


def _runs(account: Account, *command: str) -> bool:
    done = subprocess.run(
        [*account.prefix, *command], cwd="/", capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
