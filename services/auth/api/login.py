"""`POST /auth/token`: the first step of a login."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from services.auth.api.credentials import OPENAPI, credentials
from services.auth.api.guards import Composed
from services.auth.api.schemas import REFRESHED, Credentials, OtpRequiredOut, TokenPairOut
from services.auth.factors.failed_codes import CodesOff
from services.auth.login.password import IncorrectUsernameOrPassword
from services.auth.sessions.client import FromClient
from services.auth.sessions.lifecycle import TokenPair
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import Responses, refused
from shared.web.problems import TooManyRequests

_BOTH = {
    "with a second factor": {
        "value": {"otp_required": True, "temporary_token": "eyJ...temporary", "token_type": "bearer", "expires_in": 240}
    },
    "without one": {
        "value": {
            "otp_required": False,
            "access_token": "eyJ...access",
            "refresh_token": "eyJ...refresh",
            "token_type": "bearer",
            "expires_in": 3600,
        }
    },
}
_LOGGED_IN: Responses = {
    200: {
        **REFRESHED[200],
        "description": "`otp_required` says which: false, logged in; true, a second factor is asked for",
        "content": {"application/json": {"examples": _BOTH}},
    }
}

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)


@router.post(
    "/token",
    summary="Log in with username and password",
    openapi_extra=OPENAPI,
    response_model_exclude_none=True,
    responses=_LOGGED_IN | refused(IncorrectUsernameOrPassword, CodesOff, TooManyRequests),
)
async def token(
    auth: Composed, client: FromClient, given: Annotated[Credentials, Depends(credentials)]
) -> TokenPairOut | OtpRequiredOut:
    """With 2FA off a token pair; with 2FA on a temporary token, and a code by mail unless the account has a stronger
    factor: `methods` says which.

    While codes can not be delivered before they expire, 503 instead of a promise; while accounts that were registered a
    moment ago can not be known, 503 instead of a refusal.
    """
    outcome = await auth.login.log_in(given.username, given.password, client, given.device_token)
    if isinstance(outcome, TokenPair):
        return TokenPairOut.of(outcome)
    temporary = auth.tokens.temporary(outcome.account, outcome.id, outcome.created_at)
    return OtpRequiredOut.of(outcome, temporary, auth.settings.otp_lifetime)
