"""Demands of a gateway on a request, in the path of its question: docs/decisions/0016-demands-in-the-path.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from starlette.exceptions import HTTPException

from services.auth.api.guards import CurrentSession
from shared.names import GROUP_NAME, MOST_GROUPS
from shared.tokens.access import AccessToken, acr_value
from shared.web.bearer import InsufficientAuthentication, NotPermitted

PATH: Final = "/api/v1/auth/forward"

# No account is in more groups than `MOST_GROUPS`. An age of 0 would let nobody pass.
GRAMMAR: Final = (
    rf"(?P<admin>/admin)?(?P<groups>(?:/group/{GROUP_NAME}){{0,{MOST_GROUPS}}})"
    r"(?:/acr/(?P<acr>[123]))?(?:/age/(?P<age>[1-9][0-9]{0,8}))?"
)
# Matches the path as it was sent: an encoded character, such as a slash, begins no further demand.
_DEMANDS = re.compile(PATH + GRAMMAR)

# Seconds that the database's clock may have stepped back since it wrote `auth_time`.
_SKEW: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """All of them must hold. `groups`: every one; `acr`: at least; `max_age`: seconds since the person was proved."""

    admin: bool
    groups: frozenset[str]
    acr: int | None
    max_age: int | None

    def check(self, current: CurrentSession) -> None:
        """Raises `NotPermitted`, then `InsufficientAuthentication`: nobody steps up only to be refused."""
        if not self._permits(is_admin=current.session.is_admin, groups=current.session.groups):
            raise NotPermitted
        if not self._is_met_by(current.token, current.session.asked_at):
            raise InsufficientAuthentication(acr_value(self.acr) if self.acr else None, self.max_age)

    def _permits(self, *, is_admin: bool, groups: Iterable[str]) -> bool:
        return (is_admin or not self.admin) and self.groups.issubset(groups)

    def _is_met_by(self, token: AccessToken, now: datetime) -> bool:
        if self.acr is not None and token.acr < self.acr:
            return False
        if self.max_age is None:
            return True
        # Rounded up: a login never counts as younger than it is.
        return -_SKEW <= math.ceil(now.timestamp()) - token.auth_time <= self.max_age


@lru_cache(maxsize=256)
def demanded(raw_path: bytes) -> Demands:
    """Raises `HTTPException` (404) unless each demand is known, complete and in its place."""
    matched = _DEMANDS.fullmatch(raw_path.decode("latin-1"))
    if matched is None:
        raise HTTPException(404)
    acr, age = matched["acr"], matched["age"]
    return Demands(
        admin=matched["admin"] is not None,
        groups=frozenset(matched["groups"].split("/")[2::2]),
        acr=int(acr) if acr else None,
        max_age=int(age) if age else None,
    )
