"""Writes /docs, /openapi.json and /asyncapi.json as files, for a gateway that serves them itself."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from services.auth import app as auth
from services.auth.settings import AuthSettings
from services.users import app as users
from services.users.settings import UsersSettings
from shared.messaging import asyncapi
from shared.version import VERSION
from shared.web import api_docs

_USAGE = 2


def write(folder: Path) -> None:
    """Assets are also written as `.gz` for nginx's `gzip_static`. Bytes and dates are reproducible. Raises OSError."""
    documents = {"openapi.json": document(), "asyncapi.json": asyncapi.document(VERSION)}
    files = {name: json.dumps(each, separators=(",", ":")).encode() for name, each in documents.items()}
    files["docs/index.html"] = api_docs.PAGE.encode()
    for name in api_docs.ASSETS:
        content = (api_docs.assets() / name).read_bytes()
        files |= {f"docs/assets/{name}": content, f"docs/assets/{name}.gz": gzip.compress(content, mtime=0)}
    (folder / "docs" / "assets").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        # nginx's ETag is size and date: with one date for all files, 0.1.1 could pass for 0.1.0.
        date = int.from_bytes(hashlib.sha256(content).digest()[:4], "big") // 4
        os.utime(folder / name, (date, date))


def document() -> dict[str, Any]:
    """The OpenAPI document of both services."""
    # Defaults, unchecked: a document needs no database and no key.
    apps = [auth.build(AuthSettings.model_construct()), users.build(UsersSettings.model_construct())]
    return api_docs.document(apps, VERSION)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("Name the folder to write to: python -m deploy.gateway.docs DIR\n")
        return _USAGE
    try:
        write(Path(arguments[0]))
    except OSError as error:
        sys.stderr.write(f"Cannot write the documentation to {arguments[0]}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
