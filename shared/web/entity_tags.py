"""`If-Match` and `If-None-Match` (RFC 9110 section 13.1): does a client name the version that we have?"""

from __future__ import annotations

import re
from typing import Final

# A gateway that compresses an answer makes our `"5"` a weak tag, W/"5" (nginx), or adds the coding to it: "5-gzip"
# (Apache, Caddy), "5"-gzip (older Apache). The version is the same one, and the client has no other tag to name.
_BY_A_GATEWAY: Final = re.compile(r'(?:W/)?"(?P<name>[^"]*?)(?:-(?:gzip|br|zstd|deflate))?"(?:-gzip)?')


def names(header: str, etag: str) -> bool:
    """Whether `header`, a list of tags or `*`, names `etag`, which is ours: strong, without a comma."""
    given = [each.strip() for each in header.split(",")]
    return given == ["*"] or any(_ours(each) == etag for each in given)


def _ours(tag: str) -> str:
    match = _BY_A_GATEWAY.fullmatch(tag)
    return f'"{match["name"]}"' if match else tag
