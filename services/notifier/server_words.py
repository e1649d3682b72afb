"""A mail server's words, fit for a log and a dead letter: one short line without addresses and without codes.

A server may put anything into a reply: the recipient, what it was sent, control characters, a megabyte.
"""

from __future__ import annotations

import re
import unicodedata

MOST = 120  # characters: with the advice that follows, a dead letter's reason holds them
_READ = 1000

ADDRESS = "(address)"
NUMBER = "(number)"

_AT = re.compile(r"@|%40|=40|&#64;|[(\[]at[)\]]", re.IGNORECASE)
_SIX_DIGITS = re.compile(r"\d(?:[ -]?\d){5,}")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")  # RFC 3463


def quoted(said: str, *, recipient: str = "") -> str:
    """`said` as one line. The local part of `recipient` counts as an address, also by itself."""
    words = _without_addresses(_words(said), recipient.rpartition("@")[0].casefold())
    # By itself: its last digit is no part of a number that follows.
    status = [words.pop(0)] if words and _STATUS.fullmatch(words[0]) else []
    line = " ".join([*status, _SIX_DIGITS.sub(NUMBER, " ".join(words))]).replace('"', "'")
    return line if len(line) <= MOST else f"{line[: MOST - 3]}..."


def _words(said: str) -> list[str]:
    # NFKC: digits and the at sign have wide forms.
    read = unicodedata.normalize("NFKC", said[:_READ])
    words = "".join(character if character.isprintable() else " " for character in read).split()
    return words[:-1] if len(said) > _READ else words  # the last one may be half an address


def _without_addresses(words: list[str], local_part: str) -> list[str]:
    alone = re.compile(rf"(?<![^\W_]){re.escape(local_part)}(?![^\W_])") if local_part else None
    kept: list[str] = []
    joined = False  # the word before ends with an at sign
    for word in words:
        found = _AT.search(word)
        if found and found.start() == 0 and kept and kept[-1] != ADDRESS:
            kept.pop()
        hidden = found or joined or (alone and alone.search(word.casefold()))
        if not (hidden and kept and kept[-1] == ADDRESS):
            kept.append(ADDRESS if hidden else word)
        joined = bool(found and found.end() == len(word))
    return kept
