"""The client data kept with a session, for its owner to see; nothing else is kept."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shared.client_address import canonical

_LONGEST_USER_AGENT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    address: str | None
    user_agent: str | None


async def client_of(request: Request) -> Client:
    host = request.client.host if request.client else ""
    return Client(address=canonical(host), user_agent=_user_agent(request.headers.get("user-agent", "")))


FromClient = Annotated[Client, Depends(client_of)]


def _user_agent(given: str) -> str | None:
    """Without control and invisible characters, because people read it."""
    visible = "".join(character for character in given if not unicodedata.category(character).startswith("C"))
    return visible.strip()[:_LONGEST_USER_AGENT].rstrip() or None
