"""All files that a package reads beside its modules are installed with it: pyproject.toml names it by its ending."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_template_text_and_asset_of_a_service_is_in_the_wheel() -> None:
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    read = [
        path
        for package in ("services", "shared")
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert {path.suffix for path in read} >= {".j2", ".toml", ".css", ".svg"}
    assert [str(path) for path in read if not any(path.match(pattern) for pattern in patterns)] == []
