"""A gateway sent the browser here: what it wanted is not allowed, or did not work."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.visit import Visiting

router = APIRouter()

# Pages where the person can mend it.
_MENDED_AT: Final = {"email_not_verified": "/account/address"}


@router.get("/denied")
async def denied_page(visit: Visiting) -> Response:
    """`reason`: a code of forward-auth; any other has the text of none."""
    given = visit.request.query_params.get("reason", "")
    reason = given if visit.portal.pages.knows(f"denied.{given}_title") else "unknown"
    return visit.page("denied", 403, reason=reason, mended_at=_MENDED_AT.get(reason))


@router.get("/error")
async def error_page(visit: Visiting) -> Response:
    """For a gateway whose own question failed."""
    return visit.page("denied", 503, reason="failed", mended_at=None)
