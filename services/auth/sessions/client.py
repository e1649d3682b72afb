"""From where a request comes: what is kept with a session for its owner to see, and no more than that."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shared.client_address import canonical

_LONGEST_USER_AGENT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """None is what the client did not say, or a proxy did not know."""

    address: str | None
    user_agent: str | None


async def client_of(request: Request) -> Client:
    host = request.client.host if request.client else ""
    return Client(address=canonical(host), user_agent=_user_agent(request.headers.get("user-agent", "")))


FromClient = Annotated[Client, Depends(client_of)]


def _user_agent(given: str) -> str | None:
    """Shown to people: without control characters and those that nobody sees."""
    visible = "".join(character for character in given if not unicodedata.category(character).startswith("C"))
    return visible.strip()[:_LONGEST_USER_AGENT].rstrip() or None
