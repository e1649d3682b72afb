"""Whether anybody but the process can read its secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from services.auth.settings import KeySettings
from services.doctor.findings import Finding, ok, warn
from shared.configuration.settings import ManagedSettings


async def secret_files(settings: ManagedSettings) -> list[Finding]:
    files = list(_files(settings))
    found = [finding for variable, path in files if (finding := _looked_at(variable, path))]
    return found or [ok("secret-file", "<NAME>_FILE", f"{len(files)} files of secrets, none open to others")]


def _files(settings: ManagedSettings) -> Iterator[tuple[str, Path]]:
    for name, value in settings:
        variable = name.upper()
        secret = isinstance(value[0] if isinstance(value, list) and value else value, SecretStr)
        # A variable that is set wins over its file.
        if secret and not os.environ.get(variable) and (path := os.environ.get(f"{variable}_FILE")):
            yield f"{variable}_FILE", Path(path)
    if isinstance(settings, KeySettings):
        yield from (("JWT_KEYS_DIR", path) for path in sorted(settings.jwt_keys_dir.glob("*.pem")))


def _looked_at(variable: str, path: Path) -> Finding | None:
    try:
        status = path.stat()
    except OSError:
        return None  # whoever reads it says so
    # A group that the process itself has is how Kubernetes hands out secrets.
    of_strangers = 0 if status.st_gid in {os.getegid(), *os.getgroups()} else stat.S_IRWXG
    if not status.st_mode & (stat.S_IRWXO | of_strangers):
        return None
    mode = stat.S_IMODE(status.st_mode)
    return warn(
        "secret-file", f"{variable} ({path})", f"others may open it: its mode is {mode:04o}", f"chmod 600 {path}"
    )
