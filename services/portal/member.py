"""Somebody who is logged in: an access token for one page, and the account, which the navigation of each page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.portal.visit import Visit


@dataclass(frozen=True, slots=True)
class Member:
    """`account`: as `GET /users/me` has it; the templates that extend `account_page` want it under this name."""

    token: str = field(repr=False)
    account: Mapping[str, Any]


async def member(visit: Visit) -> Member:
    """Raises `LoginNeeded`, `Refused`."""
    token = await visit.token()
    return Member(token, await visit.api.get("/users/me", token))
