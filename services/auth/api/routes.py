"""The HTTP API of auth. A route opens the transaction, calls one thing that has rules, and shapes the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from services.auth.accounts.read_model import Identity
from services.auth.accounts.read_model_watch import ReadModelWatch
from services.auth.api.credentials import OPENAPI, credentials
from services.auth.api.schemas import (
    ChallengeOut,
    CodeOnItsWay,
    Credentials,
    JwksOut,
    OtpIn,
    OtpRequiredOut,
    TokenPairOut,
)
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.challenges import Challenges, OtpNotValid
from services.auth.factors.failed_codes import CodesOff
from services.auth.factors.refusals import refusals
from services.auth.login.attempts import Attempt, Throttle
from services.auth.login.known_addresses import Addresses
from services.auth.login.password import IncorrectUsernameOrPassword, authenticate
from services.auth.sessions.active import LivingSessions
from services.auth.sessions.client import FromClient
from services.auth.sessions.lifecycle import Sessions, TokenPair
from services.auth.settings import AuthSettings
from services.auth.tables import trail
from services.auth.tokens.issue import Tokens
from shared import failpoints
from shared.audit_words import Reason
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from shared.web import entity_tags
from shared.web.bearer import BearerToken, TemporaryBearer, TokenNotValid
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import Answers, leads_to, refused
from shared.web.problems import TooManyRequests

log = structlog.get_logger()

TOKEN_ENDPOINTS = frozenset(f"/api/v1/auth/{name}" for name in ("token", "verify-otp", "refresh-token"))
# Where a password, a code or a token can be guessed.
FLOODED = TOKEN_ENDPOINTS | {"/api/v1/auth/resend-otp"}

# `login2fa keys rotate` publishes a key for longer than a cache may keep the set without it.
JWKS_MAX_AGE = 300

_REFRESH_LINK = leads_to("post", "/api/v1/auth/refresh-token", {"refresh_token": "$response.body#/refresh_token"})
REFRESHED: Answers = {200: {"links": {"refresh": _REFRESH_LINK}}}
_LOGGED_IN: Answers = {
    200: {**REFRESHED[200], "description": "`otp_required` says which: false, logged in; true, a code is on its way"}
}

router = APIRouter(prefix="/api/v1/auth", route_class=ShallowJsonRoute)
well_known = APIRouter(prefix="/.well-known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """The parts of the service, composed once at start-up (services.auth.app)."""

    settings: AuthSettings
    database: Database
    passwords: Passwords
    tokens: Tokens
    sessions: Sessions
    living: LivingSessions
    challenges: Challenges
    back_pressure: BackPressure
    addresses: Addresses
    throttle: Throttle
    read_model: ReadModelWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`is_admin` is of this moment, from the read model; no token says it."""

    token: AccessToken
    is_admin: bool


class JwkSet(JSONResponse):
    media_type = "application/jwk-set+json"  # RFC 7517 section 8.5

    def render(self, content: bytes) -> bytes:
        """`content` is the document as its ETag has it."""
        return content


async def parts(request: Request) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


Parts = Annotated[Auth, Depends(parts)]


async def living_session(auth: Parts, bearer: BearerToken) -> Caller:
    """Who asks with an access token whose session is alive and whose account is able to log in; 401 otherwise."""
    try:
        token = auth.tokens.read_access(bearer)
    except TokenInvalid as error:
        log.info("access token refused", reason=str(error))
        raise TokenNotValid from None
    is_admin = await auth.living.admin_if_alive(token)
    if is_admin is None:
        raise TokenNotValid
    return Caller(token=token, is_admin=is_admin)


LivingCaller = Annotated[Caller, Depends(living_session)]


async def challenge_of(auth: Parts, bearer: TemporaryBearer) -> UUID:
    """The challenge that the caller's temporary token is for; 401 without one."""
    try:
        return auth.tokens.read_temporary(bearer)
    except TokenInvalid as error:
        log.info("temporary token refused", reason=str(error))
        raise TokenNotValid from None


ChallengeId = Annotated[UUID, Depends(challenge_of)]


async def address_of(request: Request) -> str:
    return request.client.host if request.client else "-"


Address = Annotated[str, Depends(address_of)]


@router.post(
    "/token",
    summary="Log in with username and password",
    openapi_extra=OPENAPI,
    responses=_LOGGED_IN | refused(IncorrectUsernameOrPassword, CodesOff, TooManyRequests),
)
async def token(
    auth: Parts, address: Address, client: FromClient, given: Annotated[Credentials, Depends(credentials)]
) -> TokenPairOut | OtpRequiredOut:
    """With 2FA off a token pair; with 2FA on a temporary token, and a code by mail.

    While codes can not be delivered before they expire, 503 instead of a promise; while accounts that were registered a
    moment ago can not be known, 503 instead of a refusal.
    """
    async with auth.throttle.attempt(given.username, address) as attempt:
        identity = await authenticate(
            auth.database,
            auth.passwords,
            given.username,
            given.password,
            attempt.identity,
            attempt.whose.holders,
            auth.read_model,
            failure_deadline=auth.settings.login_failure_deadline,
        )
        attempt.right = True
        if identity.is_2fa:
            return await _code_asked_for(auth, identity, attempt)
        epoch, beside = identity.session_epoch, attempt.giving_back() + auth.addresses.remembering(address)
        async with auth.database.statement() as connection:
            pair = await auth.sessions.begin(connection, identity.id, epoch, ["pwd"], client, beside)
        attempt.given_back = True
        return pair_out(pair)


@router.post(
    "/verify-otp",
    summary="Swap the temporary token and the code for a token pair, once",
    responses=refused(OtpNotValid, TooManyRequests),
)
async def verify_otp(
    auth: Parts, challenge_id: ChallengeId, address: Address, client: FromClient, given: OtpIn
) -> TokenPairOut:
    pair = None
    async with auth.database.transaction() as connection:
        verified = await auth.challenges.verify(connection, challenge_id, given.otp)
        if verified is not None:
            amr = ["pwd", "otp", "mfa"]  # RFC 8176
            beside = auth.addresses.remembering(address)
            pair = await auth.sessions.begin(connection, verified.account, verified.epoch, amr, client, beside)
    if pair is None:  # raised out here, after the commit: a wrong code must stay counted
        raise OtpNotValid
    return pair_out(pair)


@router.post(
    "/resend-otp",
    status_code=202,
    summary="Send a new code for the same login; the old one is dead",
    responses=refused(TooManyRequests),
)
async def resend_otp(auth: Parts, challenge_id: ChallengeId) -> CodeOnItsWay:
    async with (
        refusals(auth.database, "code_sent", challenge=challenge_id),
        auth.database.transaction() as connection,
    ):
        await auth.challenges.resend(connection, challenge_id)
    return CodeOnItsWay()


@router.get("/challenge", summary="Has the code been delivered, and when can another one be had?")
async def challenge(auth: Parts, challenge_id: ChallengeId) -> ChallengeOut:
    async with auth.database.transaction() as connection:
        progress = await auth.challenges.progress(connection, challenge_id)
    return ChallengeOut(
        status=progress.status,
        resend_allowed=progress.resend_in == 0,
        resend_in=progress.resend_in,
        resends_left=progress.resends_left,
        attempts_left=progress.attempts_left,
        expires_in=progress.expires_in,
    )


@router.post("/logout", status_code=204, summary="End this session, or with `all` every session of the account")
async def logout(
    auth: Parts,
    caller: LivingCaller,
    everywhere: Annotated[bool, Query(alias="all")] = False,
) -> None:
    async with auth.database.transaction() as connection:
        account, session = caller.token.account, caller.token.session
        if everywhere:
            await auth.sessions.end_all(connection, account)
        else:
            await auth.sessions.end(connection, session)
        reason: Reason = "logout_everywhere" if everywhere else "logout"
        await trail.record(connection, "session_ended", reason=reason, account=account, actor=account, session=session)


@well_known.get(
    "/jwks.json",
    summary="The public keys",
    response_model=JwksOut,
    response_class=JwkSet,
    responses={304: {"description": "As `If-None-Match` has it"}},
)
async def jwks(request: Request, auth: Parts) -> Response:
    body, etag = auth.tokens.keys.document()
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={JWKS_MAX_AGE}"}
    if entity_tags.names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return JwkSet(body, headers=headers)


async def _code_asked_for(auth: Auth, identity: Identity, attempt: Attempt) -> OtpRequiredOut:
    async with refusals(auth.database, "login", account=identity.id), auth.database.transaction() as connection:
        challenge = await auth.challenges.request(connection, identity, attempt.giving_back())
        failpoints.reach("login: before commit")
    attempt.given_back = True
    failpoints.reach("login: committed")
    temporary = auth.tokens.temporary(challenge.account, challenge.id, challenge.created_at)
    return OtpRequiredOut(temporary_token=temporary, expires_in=auth.settings.otp_lifetime)


def pair_out(pair: TokenPair) -> TokenPairOut:
    return TokenPairOut(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in)
