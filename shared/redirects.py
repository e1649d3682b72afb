"""Where a browser may be sent after a login: nobody else's page (CWE-601).

An entry of PORTAL_REDIRECTS is an origin, `https://app.example.org:8443`, or all hosts below one, `https://*.example.com`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

LONGEST = 2048

# Visible ASCII without what parsers disagree about: a backslash is a slash to browsers.
_CLEAR = re.compile(r"[!#-\[\]^-~]+")
_PATH = re.compile(r"/(?!/)")
_SCHEMES = ("https", "http")
_PORTS = {"https": 443, "http": 80}


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
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if not url.host or "*" in text or text != f"{url.scheme}://{url.netloc.decode()}" or url.scheme not in _SCHEMES:
            raise ValueError(
                "each must be an origin like https://app.example.com, or https://*.example.com for all hosts below:"
                " in lower case, without path, slash at its end or default port"
            )
        return cls(url.scheme, url.host, url.port or _PORTS[url.scheme], below=text != entry)

    def holds(self, url: httpx.URL) -> bool:
        if (url.scheme, url.port or _PORTS[url.scheme]) != (self.scheme, self.port):
            return False
        return url.host.endswith(f".{self.host}") if self.below else url.host == self.host


class Redirects:
    """`issuer`: the public URL of our own pages, which are always allowed."""

    def __init__(self, issuer: str, allowed: Iterable[str]) -> None:
        own = httpx.URL(issuer)
        self._own = f"{own.scheme}://{own.netloc.decode()}"
        self._places = [Place.parse(self._own), *map(Place.parse, allowed)]

    def own_path(self, target: str | None) -> str | None:
        """The path and query of an allowed target that is a page of ours; else None."""
        if target is None or target.startswith("/"):
            return target
        return target.removeprefix(self._own) or "/" if target.startswith(f"{self._own}/") else None

    def allowed(self, target: str | None) -> str | None:
        """The target, put together anew from its parts: an absolute URL, or a path of our own. None if a browser must
        not be sent there.
        """
        if not target or len(target) > LONGEST or not _CLEAR.fullmatch(target):
            return None
        if _PATH.match(target):
            return target
        try:
            url = httpx.URL(target)
        except httpx.InvalidURL:
            return None
        if url.scheme not in _SCHEMES or url.userinfo or not any(place.holds(url) for place in self._places):
            return None
        rest = f"{url.raw_path.decode('ascii')}{'#' + url.fragment if url.fragment else ''}"
        return f"{url.scheme}://{url.netloc.decode()}{rest}"
