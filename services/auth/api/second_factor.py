"""The second step of a login over HTTP, and of a session that steps up."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from services.auth.api.guards import Composed, CurrentChallenge
from services.auth.api.schemas import ChallengeOut, CodeOnItsWay, LoggedInOut, OtpIn
from services.auth.factors.challenges import OtpNotValid
from services.auth.factors.failed_codes import CodesOff
from services.auth.factors.mailed_code import MailedCode
from services.auth.factors.methods import MethodNotOffered
from services.auth.sessions.client import FromClient
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import TooManyRequests

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)


@router.get("/challenge", summary="What completes this login; has the code been delivered?")
async def challenge(auth: Composed, challenge_id: CurrentChallenge) -> ChallengeOut:
    progress = await auth.second_factor.progress(challenge_id)
    return ChallengeOut(**asdict(progress), resend_allowed=progress.resend_in == 0)


@router.post(
    "/challenge/email",
    status_code=202,
    summary="Send a code by mail for this login; one that was sent before is dead",
    responses=refused(CodesOff, MethodNotOffered, TooManyRequests),
)
@router.post(
    "/resend-otp",
    status_code=202,
    summary="Send a new code for the same login; the old one is dead",
    responses=refused(CodesOff, MethodNotOffered, TooManyRequests),
)
async def send_code(auth: Composed, challenge_id: CurrentChallenge) -> CodeOnItsWay:
    await auth.second_factor.send_code(challenge_id)
    return CodeOnItsWay()


@router.post(
    "/verify-otp",
    summary="Swap the temporary token and the mailed code for a token pair, once",
    response_model_exclude_none=True,
    responses=refused(OtpNotValid, TooManyRequests),
)
async def verify_otp(auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: OtpIn) -> LoggedInOut:
    proof = MailedCode(auth.codes, given.otp)
    return LoggedInOut.after(
        await auth.second_factor.verify(challenge_id, proof, client, remember=given.remember_device)
    )
