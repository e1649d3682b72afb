"""The sessions of whoever asks, and the end of one of them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from services.auth.api.routes import LivingCaller, Parts
from services.auth.api.schemas import SessionOut
from services.auth.tables import trail
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound

router = APIRouter(prefix="/api/v1/auth/sessions", route_class=ShallowJsonRoute)


@router.get("", summary="The caller's living sessions, the newest first")
async def list_own_sessions(auth: Parts, caller: LivingCaller) -> list[SessionOut]:
    """The 200 newest; who has more can end them all (`POST /api/v1/auth/logout?all=true`)."""
    async with auth.database.transaction() as connection:
        rows = await auth.sessions.living(connection, caller.token.account)
    return [SessionOut(**row._mapping, current=row.id == caller.token.session) for row in rows]  # noqa: SLF001 - public


@router.delete(
    "/{session_id}", status_code=204, summary="End one of the caller's sessions", responses=refused(ItemNotFound)
)
async def end_own_session(auth: Parts, caller: LivingCaller, session_id: UUID) -> None:
    async with auth.database.transaction() as connection:
        account = caller.token.account
        ended = await auth.sessions.end_own(connection, session_id, account)
        if ended:
            await trail.record(
                connection, "session_ended", reason="deleted", account=account, actor=account, session=session_id
            )
    if not ended:
        raise ItemNotFound
