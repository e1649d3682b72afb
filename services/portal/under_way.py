"""A login or step-up that is under way, in a cookie: its temporary token, and the wish to be kept logged in.

The wish is in no address: whoever got a person to open one could make a short session long.
"""

from __future__ import annotations

from typing import Final

from services.portal import cookies
from services.portal.api import Refused
from services.portal.visit import Visit

_KEPT: Final = "kept:"


def begin(visit: Visit, temporary_token: str, *, keep: bool = False) -> None:
    visit.keep(cookies.LOGIN, f"{_KEPT if keep else ''}{temporary_token}")


def temporary_token(visit: Visit) -> str:
    """Raises `Refused`."""
    found = visit.cookie(cookies.LOGIN)
    if found is None:
        raise Refused(401, "invalid_token", "")
    return found.removeprefix(_KEPT)


def is_to_be_kept(visit: Visit) -> bool:
    return (visit.cookie(cookies.LOGIN) or "").startswith(_KEPT)
