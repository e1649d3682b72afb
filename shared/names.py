"""The canonical form of user names and e-mail addresses: uniqueness and look-ups use no other. Names of groups."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Unicode categories that are invisible in a name, and can break a header, a log line or a database.
_REFUSED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

# Blank letters and marks (Default_Ignorable_Code_Point), and blank Braille: "admin" could be registered twice.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

_CONTROL = {"Cc", "Cs"}
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_LINKS = ("://", "www.", "@")

# Groups: users takes such names, and so many for an account; a gateway may demand no others.
GROUP_NAME = "[a-z0-9-]{1,32}"
MOST_GROUPS = 20

# `refuse_control` as a JSON Schema pattern, for the OpenAPI document.
NO_CONTROL = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"}


def canonical(name: str) -> str:
    """NFKC and case folding until nothing changes, so that a second call changes nothing."""
    while (folded := unicodedata.normalize("NFKC", name).casefold().strip()) != name:
        name = folded
    return name


def email_key_hash(address: str) -> bytes:
    """The key that counts mails to one mailbox, for all accounts and all spellings of the address."""
    return hashlib.sha256(canonical(address).encode()).digest()


def refuse_invisible(text: str) -> str:
    """Return `text`; raises ValueError for invisible characters."""
    for character in text:
        if unicodedata.category(character) in _REFUSED or _BLANK.match(character):
            raise ValueError(f"must not contain the invisible character U+{ord(character):04X}")
    return text


def refuse_links(text: str) -> str:
    """Return `text`; raises ValueError for text that mail programs show as a link, in any width or case."""
    seen = canonical(text).replace("\u3002", ".")  # the ideographic full stop is a dot in IDNA
    for part in _LINKS:
        if part in seen:
            raise ValueError(f"must not contain {part}")
    return text


def refuse_control(text: str) -> str:
    """Return `text`; raises ValueError for control characters (Postgres rejects NUL), surrogates and bidi controls."""
    for character in text:
        if unicodedata.category(character) in _CONTROL or character in _BIDI:
            raise ValueError(f"must not contain the control character U+{ord(character):04X}")
    return text
