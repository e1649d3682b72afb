"""Dependencies of the routes: the composed service, the current session, the current challenge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, Request

from services.auth.accounts.read_model import Identity, find
from services.auth.accounts.read_model_watch import ReadModelWatch
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.codes import Codes
from services.auth.factors.enrolled import Enrolled
from services.auth.factors.methods import second_factors
from services.auth.factors.passkeys import Passkeys
from services.auth.factors.recovery_codes import RecoveryCodes
from services.auth.factors.totp import AuthenticatorApps
from services.auth.login.log_in import Login
from services.auth.login.passkey_login import PasskeyLogin
from services.auth.login.second_factor import SecondFactor
from services.auth.login.step_up import StepUp
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.active import ActiveSession, ActiveSessions
from services.auth.sessions.lifecycle import Sessions
from services.auth.sessions.own_sessions import OwnSessions
from services.auth.settings import AuthSettings
from services.auth.tokens.issue import Tokens
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import (
    AccessScheme,
    LoginTooOld,
    SecondFactorRequired,
    TemporaryScheme,
    TokenNotValid,
    bearer_token,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    settings: AuthSettings
    database: Database
    passwords: Passwords
    tokens: Tokens
    sessions: Sessions
    own_sessions: OwnSessions
    active: ActiveSessions
    login: Login
    second_factor: SecondFactor
    codes: Codes
    enrolled: Enrolled
    apps: AuthenticatorApps
    recovery: RecoveryCodes
    passkeys: Passkeys
    passkey_login: PasskeyLogin
    step_up: StepUp
    devices: TrustedDevices
    back_pressure: BackPressure
    read_model: ReadModelWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSession:
    """`session` comes from the database, at this request."""

    token: AccessToken
    session: ActiveSession


async def composed(request: Request) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


Composed = Annotated[Auth, Depends(composed)]


async def current_session(request: Request, _scheme: AccessScheme = None) -> CurrentSession:
    """The session of the access token. Raises `TokenNotValid` unless it is active and its account may log in."""
    bearer = bearer_token(request.scope)
    auth = await composed(request)
    try:
        token = auth.tokens.read_access(bearer)
    except TokenInvalid as error:
        log.info("access token refused", reason=str(error))
        raise TokenNotValid from None
    session = await auth.active.find(token)
    if session is None:
        raise TokenNotValid
    return CurrentSession(token=token, session=session)


Current = Annotated[CurrentSession, Depends(current_session)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOwner:
    """An account that may change its factors now."""

    token: AccessToken
    identity: Identity


async def owner_of_factors(current: Current, auth: Composed) -> FactorOwner:
    """Raises `TokenNotValid`, `LoginTooOld`; `SecondFactorRequired` if the account has one and did not use it."""
    token = current.token
    async with auth.database.transaction() as connection:
        identity = await find(connection, token.account)
    if identity is None:
        raise TokenNotValid
    if token.login_age() > auth.settings.recent_login:
        raise LoginTooOld
    if second_factors(identity) and not token.second_factor:
        raise SecondFactorRequired
    return FactorOwner(token=token, identity=identity)


Owner = Annotated[FactorOwner, Depends(owner_of_factors)]


async def current_challenge(request: Request, _scheme: TemporaryScheme = None) -> UUID:
    bearer = bearer_token(request.scope)
    auth = await composed(request)
    try:
        return auth.tokens.read_temporary(bearer)
    except TokenInvalid as error:
        log.info("temporary token refused", reason=str(error))
        raise TokenNotValid from None


CurrentChallenge = Annotated[UUID, Depends(current_challenge)]
