"""What lies in `shared/data` beside the project: vectors of others, read by tests only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).parents[3] / "shared" / "data"


def vectors(name: str) -> Any:
    """The content of the JSON file; without the folder the test is skipped, and says so."""
    return json.loads(_text(name))


def lines(name: str) -> list[str]:
    """The same of a text file, line by line."""
    return _text(name).splitlines()


def _text(name: str) -> str:
    if not _FOLDER.is_dir():
        pytest.skip("there is no folder shared/data beside the project: it holds the vectors of this test")
    return (_FOLDER / name).read_text()
