"""Names of our cookies, and how they are read: a name that comes twice was set by somebody else as well (tossing)."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

# The session of a browser: at our own host, and where subdomains are gated, at theirs for forward-auth alone.
SESSION: Final = "__Host-login2fa"
GATE: Final = "__Secure-login2fa-gate"

# Those of RFC 6265. What else Python calls a space, such as the byte A0, is a part of the name to browsers: a sibling
# subdomain may set that one, and it would be read as ours.
_SPACES: Final = " \t"


class CookieTwice(Exception):
    """One name with two values: neither is to be believed."""


def cookie(scope: Scope, name: str) -> str | None:
    """The value of the one cookie `name`; None if there is none. Raises `CookieTwice`."""
    found = [value for each, value in _pairs(scope) if each == name]
    if len(found) > 1:
        raise CookieTwice(name)
    return found[0] if found else None


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    pairs = [each.partition("=") for header in headers for each in header.split(";")]
    return [(name.strip(_SPACES), value.strip(_SPACES).strip('"')) for name, _, value in pairs]
