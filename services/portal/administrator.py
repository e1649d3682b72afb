"""The administrator that a page is for."""

from __future__ import annotations

from services.portal.api import Refused
from services.portal.member import Member, member
from services.portal.visit import Visit


async def administrator(visit: Visit) -> Member:
    """Raises `LoginNeeded`, and `Refused` for everybody else: some of what these pages ask the API for, whoever has the
    account may do as well.
    """
    own = await member(visit)
    if not own.account["is_admin"]:
        raise Refused(403, "not_enough_permissions", "")
    return own


async def administrator_with_recent_login(visit: Visit) -> Member:
    """Before a form is filled in that an older login, or one without a second factor, could not send: raises `Refused`,
    which leads to a step-up and back.
    """
    own = await administrator(visit)
    await visit.api.get(f"/auth/accounts/{own.account['id']}/sessions", own.token)
    return own
