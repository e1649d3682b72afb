"""Reads an environment variable, or the file that `<NAME>_FILE` names, for every process and command."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

# They include line breaks: URL parsers drop them, and they split a header into two.
_CONTROL = {"Cc", "Cs"}


class VariableInvalid(Exception):
    """The message is for the operator: which variable, and what to write."""


def value_of(variable: str) -> str | None:
    """The variable, else its file; trimmed, as editors add line breaks and BOMs. Raises `VariableInvalid`."""
    text = _trimmed(os.environ.get(variable, ""))
    if not text and (path := os.environ.get(f"{variable}_FILE")):
        text = _trimmed(_read(f"{variable}_FILE", path))
    if any(unicodedata.category(character) in _CONTROL for character in text):
        raise VariableInvalid(f"{variable}: must be one line of UTF-8 text, without control characters")
    return text or None


def not_set(variables: Sequence[str]) -> Iterator[str]:
    """Sentences for the operator."""
    bare = [variable for variable in variables if not os.environ.get(f"{variable}_FILE")]
    yield from (f"{each} is not set: the file of {each}_FILE is empty" for each in variables if each not in bare)
    if len(bare) == 1:
        yield f"{bare[0]} is not set, nor is {bare[0]}_FILE"
    elif bare:
        yield f"{', '.join(bare[:-1])} and {bare[-1]} are not set, nor is the file of one, <NAME>_FILE"


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise VariableInvalid(f"{variable}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VariableInvalid(f"{variable}: {path} is no text in UTF-8") from None


def _trimmed(text: str) -> str:
    return text.strip().strip("\ufeff").strip()
