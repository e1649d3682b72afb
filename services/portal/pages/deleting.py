"""Delete one's own account."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.visit import Visiting
from services.portal.wrong_fields import beside

router = APIRouter()


@router.get("/account/delete")
async def delete_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("delete", account=own.account)


@router.post("/account/delete")
async def delete(visit: Visiting) -> Response:
    """The username is typed, so that nobody does it by a slip."""
    own = await member(visit)
    if visit.form.get("username", "").strip() != own.account["username"]:
        return visit.again("delete", beside(visit, Refused(400, "username_differs", "")), account=own.account)
    try:
        await visit.api.delete("/users/", own.token)
    except Refused as refused:
        return visit.again("delete", refused, account=own.account)
    visit.end_session()
    return visit.to("/account/deleted")


@router.get("/account/deleted")
async def deleted_page(visit: Visiting) -> Response:
    return visit.page("deleted")
