"""The second step of a login over HTTP."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from services.auth.api.guards import Composed, CurrentChallenge
from services.auth.api.schemas import ChallengeOut, CodeOnItsWay, OtpIn, TokenPairOut
from services.auth.factors.challenges import OtpNotValid
from services.auth.sessions.client import FromClient
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import TooManyRequests

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)


@router.post(
    "/verify-otp",
    summary="Swap the temporary token and the code for a token pair, once",
    responses=refused(OtpNotValid, TooManyRequests),
)
async def verify_otp(auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: OtpIn) -> TokenPairOut:
    return TokenPairOut.of(await auth.second_factor.verify(challenge_id, given.otp, client))


@router.post(
    "/resend-otp",
    status_code=202,
    summary="Send a new code for the same login; the old one is dead",
    responses=refused(TooManyRequests),
)
async def resend_otp(auth: Composed, challenge_id: CurrentChallenge) -> CodeOnItsWay:
    await auth.second_factor.resend(challenge_id)
    return CodeOnItsWay()


@router.get("/challenge", summary="Has the code been delivered, and when can another one be had?")
async def challenge(auth: Composed, challenge_id: CurrentChallenge) -> ChallengeOut:
    progress = await auth.second_factor.progress(challenge_id)
    return ChallengeOut(**asdict(progress), resend_allowed=progress.resend_in == 0)
