"""Where a browser may be sent after a login: nobody else's page (CWE-601).

An entry of PORTAL_REDIRECTS is an origin, `https://app.example.org:8443`, or all hosts below one, `https://*.example.com`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import httpx

LONGEST: Final = 2048

_PORTS: Final = {"https": 443, "http": 80}

# Visible ASCII without what parsers disagree about: a backslash is a slash to browsers, and quotes and angle brackets
# end an attribute.
_VISIBLE = r"[!#-;=?-\[\]^-~]"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# Narrower than RFC 3986: no user, no percent sign or final dot in a host, no empty or padded port.
_URL = re.compile(
    rf"(?P<scheme>(?i:https?))://(?P<host>(?i:{_LABEL}(?:\.{_LABEL})*)|\[(?i:[0-9a-f:]+)\])"
    rf"(?::(?P<port>[1-9][0-9]{{0,4}}))?(?P<rest>[/?#]{_VISIBLE}*)?"
)
# Two slashes begin the name of a host; parsers differ on what a dot at the beginning leaves.
_OWN_PATH = re.compile(rf"/(?![/.]){_VISIBLE}*")


@dataclass(frozen=True, slots=True)
class Place:
    """`below`: all hosts below `host`, and not itself."""

    scheme: str
    host: str
    port: int
    below: bool

    @classmethod
    def parse(cls, entry: str) -> Place:
        """Raises ValueError for the operator."""
        text = entry.replace("://*.", "://", 1)
        found = _Url.parse(text)
        if found is None or text != found.origin:
            raise ValueError(
                "each must be an origin like https://app.example.com, or https://*.example.com for all hosts below:"
                " in lower case, without path, slash at its end or default port"
            )
        return cls(found.scheme, found.host, found.port, below=text != entry)

    def holds(self, url: _Url) -> bool:
        if (url.scheme, url.port) != (self.scheme, self.port):
            return False
        return url.host.endswith(f".{self.host}") if self.below else url.host == self.host


@dataclass(frozen=True, slots=True)
class _Url:
    """`rest`: path, query and fragment as they were written."""

    scheme: str
    host: str
    port: int
    rest: str

    @classmethod
    def parse(cls, text: str) -> _Url | None:
        found = _URL.fullmatch(text)
        if found is None:
            return None
        scheme = found["scheme"].lower()
        port = int(found["port"] or _PORTS[scheme])
        return cls(scheme, found["host"].lower(), port, found["rest"] or "") if port < 1 << 16 else None

    @property
    def origin(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def __str__(self) -> str:
        return self.origin + (self.rest if self.rest.startswith("/") else f"/{self.rest}")


class Redirects:
    """`issuer`: the public URL of our own pages, which are always allowed."""

    def __init__(self, issuer: str, allowed: Iterable[str]) -> None:
        own = httpx.URL(issuer)
        authority = own.netloc.decode()
        self._own = f"{own.scheme}://{authority}"
        host, port = authority.removesuffix(f":{own.port}"), own.port or _PORTS[own.scheme]
        # Not parsed: an issuer may be a host that no target can name, as one with a final dot.
        self._places = [Place(own.scheme, host, port, below=False), *map(Place.parse, allowed)]

    def own_path(self, target: str | None) -> str | None:
        """The path and query of an allowed target that is a page of ours; else None."""
        if target is None:
            return None
        path = target.removeprefix(self._own)
        return path if _OWN_PATH.fullmatch(path) else None

    def allowed(self, target: str | None) -> str | None:
        """The target, put together anew from its parts: an absolute URL, or a path of our own. None if a browser must
        not be sent there.
        """
        if not target or len(target) > LONGEST:
            return None
        if _OWN_PATH.fullmatch(target):
            return target
        url = _Url.parse(target)
        return str(url) if url is not None and any(place.holds(url) for place in self._places) else None
