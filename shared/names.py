"""The one canonical form of user names and e-mail addresses: what "the same name" means, everywhere.

Normalised by NFKC and case-folded until nothing changes, so that `canonical(canonical(x)) == canonical(x)`
for every x; uniqueness and look-ups use this form only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Control, format (bidirectional overrides, zero width), surrogate, private use, unassigned, line and
# paragraph separators: invisible in a name, and able to break a header, a log line or a database.
_REFUSED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

# Shown as nothing although Unicode calls them letters or marks (Default_Ignorable_Code_Point), and the empty
# Braille cell: with one of these "admin" could be registered twice.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

_CONTROL = {"Cc", "Cs"}
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


_LINKS = ("://", "www.", "@")

# The same for the OpenAPI document, as JSON Schema writes a pattern.
NO_CONTROL = {
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$",
}


def canonical(name: str) -> str:
    while (folded := unicodedata.normalize("NFKC", name).casefold().strip()) != name:
        name = folded
    return name


def email_key_hash(address: str) -> bytes:
    """By which mails to one mailbox are counted, whichever account they are about and however it spells the address."""
    return hashlib.sha256(canonical(address).encode()).digest()


def refuse_invisible(text: str) -> str:
    """`text` itself; raises ValueError for characters that a reader can't see."""
    for character in text:
        if unicodedata.category(character) in _REFUSED or _BLANK.match(character):
            raise ValueError(f"must not contain the invisible character U+{ord(character):04X}")
    return text


def refuse_links(text: str) -> str:
    """`text` itself; raises ValueError for what a mail program makes a link or an address of, in any width or case."""
    seen = canonical(text).replace("\u3002", ".")  # the full stop of Chinese and Japanese, which IDNA takes for a dot
    for part in _LINKS:
        if part in seen:
            raise ValueError(f"must not contain {part}")
    return text


def refuse_control(text: str) -> str:
    """`text` itself; raises ValueError for what no keyboard types into a field, and for what Postgres can't hold.

    Control characters (NUL among them), lone surrogates, bidirectional overrides. Of a password everything else goes.
    """
    for character in text:
        if unicodedata.category(character) in _CONTROL or character in _BIDI:
            raise ValueError(f"must not contain the control character U+{ord(character):04X}")
    return text
