"""Lists and ends the caller's sessions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.auth.api.guards import Composed, Current
from services.auth.api.schemas import SessionOut
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)


@router.post("/logout", status_code=204, summary="End this session, or with `all` every session of the account")
async def logout(auth: Composed, current: Current, everywhere: Annotated[bool, Query(alias="all")] = False) -> None:
    if everywhere:
        await auth.account_sessions.end_all(current.token.account, current.token)
    else:
        await auth.account_sessions.log_out(current.token)


@router.get("/sessions", summary="The caller's active sessions, the newest first")
async def list_own_sessions(auth: Composed, current: Current) -> list[SessionOut]:
    """The 200 newest; all of them can be ended together (`POST /api/v1/auth/logout?all=true`)."""
    rows = await auth.account_sessions.list(current.token.account, current.token)
    return [SessionOut(**row, current=row["id"] == current.token.session) for row in rows]


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    summary="End one of the caller's sessions",
    responses=refused(ItemNotFound),
)
async def end_own_session(auth: Composed, current: Current, session_id: UUID) -> None:
    await auth.account_sessions.end(current.token.account, session_id, current.token)
