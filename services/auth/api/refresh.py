"""A refresh token is swapped for a new pair: the most frequent request that writes."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request

from services.auth.api.routes import REFRESHED, Auth, pair_out
from services.auth.api.schemas import RefreshIn, TokenPairOut
from services.auth.sessions.client import client_of
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import REALM
from shared.web.openapi_responses import refused
from shared.web.problems import Problem, TooManyRequests
from shared.web.quick_json import QuickJsonRoute

log = structlog.get_logger()

router = APIRouter(prefix="/api/v1/auth", route_class=QuickJsonRoute)


class RefreshTokenNotValid(Problem):
    status = 401
    code = "invalid_refresh_token"
    detail = "Token not valid"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": REALM})  # RFC 9110 section 15.5.2: no 401 without one


@router.post(
    "/refresh-token",
    summary="Swap a refresh token for a new pair",
    responses=REFRESHED | refused(RefreshTokenNotValid, TooManyRequests),
)
async def refresh_token(request: Request, given: RefreshIn) -> TokenPairOut:
    auth: Auth = request.app.state.auth
    client = await client_of(request)
    try:
        token_id = auth.tokens.read_refresh(given.refresh_token)
    except TokenInvalid as error:
        log.info("refresh token refused", reason=str(error))
        raise RefreshTokenNotValid from None
    async with auth.database.statement() as connection:
        pair = await auth.sessions.rotate(connection, token_id, client)
    if pair is None:
        async with auth.database.transaction() as connection:
            pair = await auth.sessions.repeat(connection, token_id)
    if pair is None:  # raised out here, after the commit: a reuse must have ended the session
        raise RefreshTokenNotValid
    return pair_out(pair)
