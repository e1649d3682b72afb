"""Administrators reset the factors of an account, unlock it, and list and end its sessions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from services.auth.api.guards import Composed, CurrentSession, administrator
from services.auth.api.schemas import FactorsResetOut, SessionOut
from services.auth.factors import reset
from services.auth.login.unlock import unlock
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound

router = APIRouter(prefix="/api/v1/auth/accounts/{account_id}", route_class=ShallowJsonRoute)

_REFUSED = refused(NotPermitted, SecondFactorRequired, LoginTooOld, ItemNotFound)


@router.post(
    "/factors/reset",
    summary="Take all factors but mailed codes from an account; its sessions and devices end",
    responses=_REFUSED,
)
async def reset_factors(
    auth: Composed, admin: Annotated[CurrentSession, Depends(administrator("factors_reset"))], account_id: UUID
) -> FactorsResetOut:
    second_factor = await reset.reset_factors(auth.database, auth.enrolled, account_id, admin.token)
    return FactorsResetOut(second_factor=second_factor)


@router.post(
    "/unlock",
    status_code=204,
    summary="Forget the wrong passwords and codes that keep an account out",
    responses=_REFUSED,
)
async def unlock_account(
    auth: Composed, admin: Annotated[CurrentSession, Depends(administrator("account_unlocked"))], account_id: UUID
) -> None:
    await unlock(auth.database, account_id, admin.token)


@router.get("/sessions", summary="The active sessions of an account, the newest first", responses=_REFUSED)
async def list_account_sessions(
    auth: Composed, admin: Annotated[CurrentSession, Depends(administrator("sessions_read"))], account_id: UUID
) -> list[SessionOut]:
    """The 200 newest; all of them can be ended together."""
    rows = await auth.account_sessions.list(account_id, admin.token)
    return [SessionOut(**row, current=row["id"] == admin.token.session) for row in rows]


Ending = Annotated[CurrentSession, Depends(administrator("session_ended"))]


@router.delete("/sessions", status_code=204, summary="End all sessions of an account", responses=_REFUSED)
async def end_account_sessions(auth: Composed, admin: Ending, account_id: UUID) -> None:
    await auth.account_sessions.end_all(account_id, admin.token)


@router.delete("/sessions/{session_id}", status_code=204, summary="End one session of an account", responses=_REFUSED)
async def end_account_session(auth: Composed, admin: Ending, account_id: UUID, session_id: UUID) -> None:
    await auth.account_sessions.end(account_id, session_id, admin.token)
