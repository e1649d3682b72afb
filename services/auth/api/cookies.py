"""Sessions of browsers, for the program that serves pages. No cookie is read here: only that program knows its value,
so no script and no other site can ask for a token.
"""

from __future__ import annotations

from fastapi import APIRouter

from services.auth.api.guards import Composed
from services.auth.api.schemas import AccessOut, CookieAccessIn, CookieIn, CookieOut
from services.auth.sessions.client import FromClient
from services.auth.sessions.refresh import RefreshTokenNotValid
from shared.web.bearer import TokenNotValid
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import TooManyRequests

router = APIRouter(prefix="/api/v1/auth/cookie", route_class=ShallowJsonRoute)


@router.post(
    "",
    status_code=201,
    summary="Swap a refresh token for the cookie of a browser",
    responses=refused(RefreshTokenNotValid, TooManyRequests),
)
async def begin_cookie(auth: Composed, given: CookieIn) -> CookieOut:
    """The same session goes on, unless it is older than one of a browser may be. A step-up of it ends its cookies."""
    made = await auth.cookies.begin(given.refresh_token, keep=given.keep_logged_in)
    return CookieOut(session_cookie=made.session, gate_cookie=made.gate, max_age=made.max_age)


@router.post(
    "/access",
    summary="An access token of a browser's session, for one page",
    responses=refused(TokenNotValid),
)
async def cookie_access(auth: Composed, given: CookieAccessIn, client: FromClient) -> AccessOut:
    access, lifetime = await auth.cookies.access(given.session_cookie, client)
    return AccessOut(access_token=access, expires_in=lifetime)
