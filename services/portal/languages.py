"""The texts of pages in each language: one TOML file each, with the same keys (tests/unit/portal)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

DEFAULT: Final = "en"
_FOLDER: Final = Path(__file__).parent / "languages"


def catalogues() -> dict[str, dict[str, str]]:
    """By language: the text of each key, `section.name`."""
    return {path.stem: dict(_flat(tomllib.loads(path.read_text()))) for path in sorted(_FOLDER.glob("*.toml"))}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def chosen(known: Mapping[str, Any], asked: str | None, accepted: str) -> str:
    """`asked`: by the person; `accepted`: the header Accept-Language (RFC 9110 section 12.5.4)."""
    if asked in known:
        return str(asked)
    for each in sorted(accepted.split(","), key=_weight, reverse=True):
        language = each.partition(";")[0].strip().partition("-")[0].lower()
        if language in known and _weight(each) > 0:
            return language
    return DEFAULT


def _weight(each: str) -> float:
    _, _, weight = each.partition(";")
    try:
        return float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return 0
