"""One's own account: what is known, and where to change it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.member import member
from services.portal.visit import Visiting

router = APIRouter()


@router.get("/account")
async def account_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("account", account=own.account)
