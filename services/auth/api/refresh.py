"""`POST /auth/refresh-token`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from services.auth.api.guards import Auth
from services.auth.api.schemas import REFRESHED, RefreshIn, TokenPairOut
from services.auth.sessions.client import client_of
from services.auth.sessions.refresh import RefreshTokenNotValid, refresh
from shared.web.lean_route import LeanRoute
from shared.web.openapi_responses import refused
from shared.web.problems import TooManyRequests

router = APIRouter(prefix="/api/v1/auth", route_class=LeanRoute)


@router.post(
    "/refresh-token",
    summary="Swap a refresh token for a new pair",
    responses=REFRESHED | refused(RefreshTokenNotValid, TooManyRequests),
)
async def refresh_token(request: Request, given: RefreshIn) -> TokenPairOut:
    auth: Auth = request.app.state.auth
    client = await client_of(request)
    return TokenPairOut.of(await refresh(auth.database, auth.tokens, auth.sessions, given.refresh_token, client))
