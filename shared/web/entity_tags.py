"""`If-Match` and `If-None-Match` (RFC 9110 section 13.1): does the client name the current version?"""

from __future__ import annotations

import re
from typing import Final

# A gateway that compresses changes our `"5"` to W/"5" (nginx), "5-gzip" (Apache, Caddy) or "5"-gzip (older Apache).
_BY_A_GATEWAY: Final = re.compile(r'(?:W/)?"(?P<name>[^"]*?)(?:-(?:gzip|br|zstd|deflate))?"(?:-gzip)?')


def names(header: str, etag: str) -> bool:
    """Whether `header`, a list of tags or `*`, contains our `etag` (strong, without a comma)."""
    given = [each.strip() for each in header.split(",")]
    return given == ["*"] or any(_ours(each) == etag for each in given)


def _ours(tag: str) -> str:
    match = _BY_A_GATEWAY.fullmatch(tag)
    return f'"{match["name"]}"' if match else tag
