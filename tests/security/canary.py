"""Secrets that are known, and where they turn up: as they are, or as somebody may have written them."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

from tests.servers.databases import Databases, connected


def forms(secret: str) -> set[bytes]:
    """In clear, in JSON, in a URL, in hexadecimal, in base64 wherever in a longer text it begins."""
    raw = secret.encode()
    texts = {secret, json.dumps(secret)[1:-1], quote(secret), quote_plus(secret), raw.hex(), raw.hex().upper()}
    # What of the base64 does not depend on the bytes before and behind.
    begins = [base64.b64encode(b"\0" * shift + raw)[-(-shift * 4 // 3) :] for shift in range(3)]
    kept = [text.rstrip(b"=")[: len(raw) * 4 // 3 - 1] for text in begins]
    url_safe = [text.translate(bytes.maketrans(b"+/", b"-_")) for text in kept]
    return {text.encode() for text in texts} | set(kept) | set(url_safe)


def found(secrets: list[str], places: dict[str, bytes]) -> set[tuple[str, str]]:
    """Which secret is in which place."""
    return {(place, secret) for secret in secrets for place, content in places.items() if _holds(content, secret)}


def _holds(content: bytes, secret: str) -> bool:
    # Of six digits with others beside them, or a point, something else is meant: a fraction of a second, an id.
    beside = rb"(?<![\w.-])", rb"(?![\w-])"
    patterns = [
        re.escape(form) if len(form) > len("123456") else re.escape(form).join(beside) for form in forms(secret)
    ]
    return any(re.search(pattern, content) for pattern in patterns)


async def dump(databases: Databases) -> bytes:
    """Every row of every table of both services."""
    async with connected(databases.admin_url) as admin:
        names = await admin.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('auth', 'users') ORDER BY 1, 2"
        )
        rows = [await admin.fetch(f"SELECT t::text FROM {schema}.{table} t") for schema, table in names]
    return "\n".join(row[0] for table in rows for row in table).encode()
