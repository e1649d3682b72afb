"""The sender of every mail: MAIL_FROM for the envelope, the header From and Message-ID (RFC 5322)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from typing import Self

from email_validator import EmailNotValidError, validate_email

# `name <address>`; brackets inside a quoted name belong to the name.
_NAMED = re.compile(r"(?P<name>\"(?:[^\"\\]|\\.)*\"|[^\"<>]*?)\s*<(?P<address>[^<>]*)>")
# RFC 5322 allows these in a name only between quotes. It allows dots as obsolete syntax.
_NEEDS_QUOTES = re.compile(r"[()<>,:;@\[\]\\\"]")
_LONGEST_NAME = 64
_LONGEST_WORD = 75  # characters of an encoded word: RFC 2047 section 2
# The library refuses local domains such as `.local`, but accepts them with this suffix.
_BENEATH = ".example.com"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`address` is ASCII, also for an international domain. `name` may be empty."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Accepts `login@example.com` or `Acme <login@example.com>`. Raises ValueError, which says what to write."""
        named = _NAMED.fullmatch(text)
        name, address = (_unquoted(named["name"]), named["address"]) if named else ("", text)
        return cls(_in_ascii(address), name)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def header(self) -> str:
        """The value of From: ASCII, one line."""
        if self.name.isascii():
            return formataddr((self.name, self.address))
        return f"{Header(self.name, 'utf-8', maxlinelen=_LONGEST_WORD).encode(linesep='')} <{self.address}>"

    def __str__(self) -> str:
        if not self.name:
            return self.address
        name = formataddr((self.name, "")).removesuffix(" <>") if _NEEDS_QUOTES.search(self.name) else self.name
        return f"{name} <{self.address}>"


def _unquoted(name: str) -> str:
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    elif _NEEDS_QUOTES.search(name):
        raise ValueError('the name holds a comma or the like, so it must be quoted: "Acme, Inc." <login@example.com>')
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the name must have at most {_LONGEST_NAME} characters")
    return name


def _in_ascii(address: str) -> str:
    local, at, domain = address.rpartition("@")
    try:
        checked = validate_email(f"{local}{at}{domain}{_BENEATH}", allow_smtputf8=False, check_deliverability=False)
    except EmailNotValidError:
        checked = None
    if checked is None or "=?" in local:  # RFC 2047: mail programs would decode it
        raise ValueError(
            "must be one address in ASCII, such as login@example.com, or a name with one: Acme <login@example.com>"
        )
    return f"{checked.local_part}@{(checked.ascii_domain or '').removesuffix(_BENEATH)}"
