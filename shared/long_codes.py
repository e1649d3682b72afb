"""Codes of 50 random bits that people copy by hand: ten characters of Crockford's base32, without I, L, O and U."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH: Final = 10

_SEPARATORS = re.compile(r"[\s\u2010-\u2015-]+")
_LOOK_ALIKES = str.maketrans("OIL", "011")


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def in_halves(code: str) -> str:
    """Ten characters in a row are hard to copy by hand; `Code` overlooks the hyphen."""
    return f"{code[:5]}-{code[5:]}"


def _canonical(value: Any) -> Any:
    """Mail programs and people add blanks and hyphens, and take one character for another."""
    if not isinstance(value, str):
        return value
    bare = _SEPARATORS.sub("", value)
    return bare.upper().translate(_LOOK_ALIKES) if bare.isascii() else bare


def _ten_characters(code: str) -> str:
    if len(code) != LENGTH or not set(code) <= set(ALPHABET):
        raise ValueError("A code has ten letters and digits: send all of them, as they were given to you")
    return code


# A field of a request.
Code = Annotated[
    StrictStr,
    BeforeValidator(_canonical),
    AfterValidator(_ten_characters),
    Field(
        max_length=64,
        description="In capitals or not; blanks and hyphens in it are overlooked",
        examples=["7K9M2Q4TZ1"],
        json_schema_extra={"pattern": rf"^[{ALPHABET}]{{{LENGTH}}}$"},
    ),
]
