"""The second step of a login over HTTP, and of a session that steps up."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from services.auth.api.guards import Composed, Current, CurrentChallenge
from services.auth.api.schemas import (
    ChallengeOut,
    CodeOnItsWay,
    LoggedInOut,
    OtpIn,
    OtpRequiredOut,
    RecoveryIn,
    StepUpIn,
    StepUpPasswordIn,
)
from services.auth.factors.failed_codes import CodesOff
from services.auth.factors.mailed_code import MailedCode
from services.auth.factors.methods import MethodNotOffered
from services.auth.factors.proofs import OtpNotValid
from services.auth.factors.totp import AppCode
from services.auth.login.password import IncorrectUsernameOrPassword
from services.auth.login.step_up import NoSuchFactor
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
async def send_code(auth: Composed, challenge_id: CurrentChallenge) -> CodeOnItsWay:
    await auth.second_factor.send_code(challenge_id)
    return CodeOnItsWay()


@router.post(
    "/resend-otp",
    status_code=202,
    summary="Send a new code for the same login; the old one is dead",
    responses=refused(CodesOff, MethodNotOffered, TooManyRequests),
)
async def resend_otp(auth: Composed, challenge_id: CurrentChallenge) -> CodeOnItsWay:
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


@router.post(
    "/verify-totp",
    summary="Swap the temporary token and a code of the authenticator app for a token pair, once",
    response_model_exclude_none=True,
    responses=refused(OtpNotValid, TooManyRequests),
)
async def verify_totp(auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: OtpIn) -> LoggedInOut:
    proof = AppCode(auth.apps, given.otp)
    return LoggedInOut.after(
        await auth.second_factor.verify(challenge_id, proof, client, remember=given.remember_device)
    )


@router.post(
    "/verify-recovery",
    summary="Swap the temporary token and a recovery code for a token pair, once",
    response_model_exclude_none=True,
    responses=refused(OtpNotValid, TooManyRequests),
)
async def verify_recovery(
    auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: RecoveryIn
) -> LoggedInOut:
    proof = await auth.recovery.proof(challenge_id, given.code, auth.shares_of(client))
    completed = await auth.second_factor.verify(challenge_id, proof, client, remember=given.remember_device)
    return LoggedInOut.after(completed, recovery_codes_left=proof.left)


@router.post(
    "/step-up",
    summary="Authenticate again in the same session: a higher class of login, or a newer one",
    response_model_exclude_none=True,
    responses=refused(CodesOff, NoSuchFactor, TooManyRequests),
)
async def step_up(auth: Composed, current: Current, given: StepUpIn) -> OtpRequiredOut:
    """The temporary token is completed as that of a login; the pair that comes is of the same session."""
    challenge = await auth.step_up.begin(current.token, given.acr)
    temporary = auth.tokens.temporary(challenge.account, challenge.id, challenge.created_at)
    return OtpRequiredOut.of(challenge, temporary, auth.settings.otp_lifetime)


@router.post(
    "/verify-password",
    summary="Swap the temporary token of a step-up and the password for a token pair, once",
    response_model_exclude_none=True,
    responses=refused(IncorrectUsernameOrPassword, TooManyRequests),
)
async def verify_password(
    auth: Composed, challenge_id: CurrentChallenge, client: FromClient, given: StepUpPasswordIn
) -> LoggedInOut:
    """For an account without a second factor, if `methods` says so."""
    return LoggedInOut.after(await auth.step_up.verify_password(challenge_id, given.password, client))
