"""Dependencies of the routes: the composed service, the current session, the current challenge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
from services.auth.factors.refusals import refusals
from services.auth.factors.totp import AuthenticatorApps
from services.auth.login.log_in import Login
from services.auth.login.passkey_login import PasskeyLogin
from services.auth.login.second_factor import SecondFactor
from services.auth.login.step_up import StepUp
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.account_sessions import AccountSessions
from services.auth.sessions.active import ActiveSession, ActiveSessions
from services.auth.sessions.client import Client
from services.auth.sessions.cookies import CookieSessions
from services.auth.sessions.lifecycle import Sessions
from services.auth.settings import AuthSettings
from services.auth.tokens.issue import Tokens
from shared.audit_words import Act
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import (
    AccessScheme,
    LoginTooOld,
    NotPermitted,
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
    account_sessions: AccountSessions
    active: ActiveSessions
    cookies: CookieSessions
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

    def shares_of(self, client: Client) -> list[bytes]:
        return self.login.addresses.shares(client.address or "-")


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


async def _identity(auth: Auth, current: CurrentSession) -> Identity:
    async with auth.database.statement() as connection:
        identity = await find(connection, current.token.account)
    if identity is None:
        raise TokenNotValid
    return identity


def require_recent_login(auth: Auth, current: CurrentSession) -> None:
    if current.token.login_age() > auth.settings.recent_login:
        raise LoginTooOld


def require_second_factor(current: CurrentSession, identity: Identity, *, demanded: bool = False) -> None:
    """Whoever has one must have used it: the password and a trusted device are not enough."""
    if (demanded or second_factors(identity)) and not current.token.second_factor:
        raise SecondFactorRequired


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOwner:
    """An account that may change its factors now."""

    token: AccessToken
    identity: Identity


async def owner_of_factors(current: Current, auth: Composed) -> FactorOwner:
    """Raises `TokenNotValid`, `LoginTooOld`; `SecondFactorRequired` if the account has one and did not use it."""
    identity = await _identity(auth, current)
    require_recent_login(auth, current)
    require_second_factor(current, identity)
    return FactorOwner(token=current.token, identity=identity)


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


def administrator(act: Act) -> Callable[[Auth, CurrentSession, UUID], Awaitable[CurrentSession]]:
    """The guard of an administrator's act on an account. A refusal is recorded."""

    async def guard(auth: Composed, current: Current, account_id: UUID) -> CurrentSession:
        async with refusals(auth.database, act, account=account_id, actor=current.token.account):
            if not current.session.is_admin:
                raise NotPermitted
            demanded = auth.settings.demands_second_factor(is_admin=True)
            require_second_factor(current, await _identity(auth, current), demanded=demanded)
            require_recent_login(auth, current)
        return current

    return guard
