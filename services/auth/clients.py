"""From where a request comes: what is kept with a session for its owner to see, and no more than that."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

_LONGEST_USER_AGENT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """None is what the client did not say, or a proxy did not know."""

    address: str | None
    user_agent: str | None


async def client_of(request: Request) -> Client:
    host = request.client.host if request.client else ""
    return Client(address=_address(host), user_agent=_user_agent(request.headers.get("user-agent", "")))


FromClient = Annotated[Client, Depends(client_of)]


def _address(host: str) -> str | None:
    """A trusted proxy may pass on any text for an address: what is none is not kept."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _user_agent(given: str) -> str | None:
    """Shown to people: without control characters and those that nobody sees."""
    visible = "".join(character for character in given if not unicodedata.category(character).startswith("C"))
    return visible.strip()[:_LONGEST_USER_AGENT].rstrip() or None
