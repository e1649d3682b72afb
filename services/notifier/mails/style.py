"""How an installation writes its mails: the language, templates of its own, and where answers go."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from services.notifier.mailbox import Mailbox

DEFAULT: Final = "en"
_FOLDER: Final = Path(__file__).parent / "languages"
SHIPPED: Final = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
_VALUE = re.compile(r"\{(\w+)\}")


def shipped_language(tag: str) -> str | None:
    """Falls back from `de-AT` to `de` (RFC 4647 section 3.4)."""
    subtags = tag.lower().split("-")
    shorter = ("-".join(subtags[:length]) for length in range(len(subtags), 0, -1))
    return next((each for each in shorter if each in SHIPPED), None)


@cache
def words(language: str) -> Mapping[str, str]:
    """The text of each key, `section.name`."""
    return dict(_flat(tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@dataclass(frozen=True)
class Style:
    language: str = DEFAULT
    templates: Path | None = None
    reply_to: Mailbox | None = None
    _words: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", words(self.language))

    def text(self, key: str, **values: object) -> str:
        """Replaces each value once: braces in a value, such as the site's name, stay as they are."""
        return _VALUE.sub(lambda found: str(values[found[1]]), self._words[key])


SHIPPED_STYLE: Final = Style()
