"""Makes any reply of a mail server safe for logs: one short line without addresses, codes and passwords."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode

MOST = 120  # characters: with the advice after it, it fits into a dead letter's reason
_READ = 1000

ADDRESS = "(address)"
NUMBER = "(number)"
HIDDEN = "(hidden)"

_AT = re.compile(r"@|%40|=40|&#64;|[(\[]at[)\]]", re.IGNORECASE)
_SIX_DIGITS = re.compile(r"\d(?:[ -]?\d){5,}")
_LONG = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")  # base64, such as the login in AUTH
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")  # RFC 3463


def quoted(said: str, *, recipient: str = "", password: str = "", code: str = "") -> str:
    """`said` as one line. The local part of `recipient` is hidden even without its domain."""
    words = [_without_secrets(word, password) for word in _words(said)]
    words = _without_addresses(words, recipient.rpartition("@")[0].casefold())
    # Kept apart: its last digit must not count as part of the next number.
    status = [words.pop(0)] if words and _STATUS.fullmatch(words[0]) else []
    rest = _without_code(_SIX_DIGITS.sub(NUMBER, " ".join(words)), code)
    line = " ".join([*status, rest]).replace('"', "'")
    return line if len(line) <= MOST else f"{line[: MOST - 3]}..."


def _words(said: str) -> list[str]:
    # NFKC: digits and the at sign have full-width forms.
    read = unicodedata.normalize("NFKC", said[:_READ])
    words = "".join(character if character.isprintable() else " " for character in read).split()
    return words[:-1] if len(said) > _READ else words  # the last one may be half an address


def _without_secrets(word: str, password: str) -> str:
    """Some servers repeat a command that they did not understand, AUTH with its credentials included."""
    for form in (password, b64encode(password.encode()).decode()) if password else ():
        word = word.replace(form, HIDDEN)
    return word if "://" in word else _LONG.sub(_unless_a_word, word)


def _without_code(line: str, code: str) -> str:
    """An account code has letters, so `_SIX_DIGITS` does not find it. A filter may repeat what it found in a mail."""
    return re.sub("[ -]?".join(map(re.escape, code)), HIDDEN, line, flags=re.IGNORECASE) if code else line


def _unless_a_word(found: re.Match[str]) -> str:
    return found[0] if found[0].isalpha() and found[0][1:].islower() else HIDDEN


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
