"""Forms of our own pages alone (CWE-352): a request that changes something comes from one of them, or is refused.

Sibling subdomains are the same site, so SameSite does not keep them out: the origin is checked, and a token in the
form.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import httpx


def token_of(secret: str) -> str:
    """The token of forms for the browser that has `secret` in a cookie which no script and no other host reads."""
    return hmac.new(secret.encode(), b"login2fa form", hashlib.sha256).hexdigest()


def is_own(headers: Mapping[str, str], issuer: str) -> bool:
    """Whether the browser says that one of our pages sent this. A browser that says nothing is refused."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    own = httpx.URL(issuer)
    return headers.get("origin") == f"{own.scheme}://{own.netloc.decode()}"


def is_plain(headers: Mapping[str, str]) -> bool:
    """Whether it is encoded as ours are. The other way is text in a charset that the sender chooses: of Python's codecs
    `punycode` takes half a second for 60 kB.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind.lower() == "application/x-www-form-urlencoded"


def has_token(given: str, secret: str | None) -> bool:
    return secret is not None and hmac.compare_digest(given.encode(), token_of(secret).encode())
