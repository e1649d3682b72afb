"""The administrator that a page is for."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.portal.api import Refused
from services.portal.visit import Visit


@dataclass(frozen=True, slots=True)
class Administrator:
    token: str = field(repr=False)
    id: str

    async def require_strong_login(self, visit: Visit) -> None:
        """Before a form is filled in that an older login, or one without a second factor, could not send. Raises
        `Refused`, which leads to a step-up and back.
        """
        await visit.api.get(f"/auth/accounts/{self.id}/sessions", self.token)


async def administrator(visit: Visit) -> Administrator:
    """Raises `LoginNeeded`, and `Refused` for everybody else: some of what these pages ask the API for, whoever has the
    account may do as well.
    """
    token = await visit.token()
    me = await visit.api.get("/users/me", token)
    if not me["is_admin"]:
        raise Refused(403, "not_enough_permissions", "")
    return Administrator(token, me["id"])
