"""The caller: the account of an access token, read from our own table at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, Request
from sqlalchemy import Row

from services.users.account_factors import has_second_factor
from services.users.breach_filter import BreachFilter
from services.users.codes import Codes
from services.users.known_accounts import KnownAccounts
from services.users.settings import UsersSettings
from shared.client_address import told_apart
from shared.database.pool import Database
from shared.observability.correlation import client_address
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.tokens.access import AccessToken, kind
from shared.tokens.remote_keys import RemoteKeys
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import AccessScheme, LoginTooOld, NotPermitted, SecondFactorRequired, TokenNotValid, bearer_token
from shared.web.problems import TooManyRequests

log = structlog.get_logger()


class HashShares:
    """Shares of the hashing queue (shared.passwords.hashing), per process: n replicas allow n times as much."""

    def __init__(self) -> None:
        self._changing: set[UUID] = set()

    def holders(self, account: UUID | None = None) -> list[Hashable]:
        return [holder for holder in (told_apart(client_address.get()), account) if holder is not None]

    @asynccontextmanager
    async def one_change(self, account: UUID) -> AsyncIterator[None]:
        """Raises `TooManyRequests` while another request changes the password of this account."""
        if account in self._changing:
            raise TooManyRequests(retry_after=1)
        self._changing.add(account)
        try:
            yield
        finally:
            self._changing.discard(account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    settings: UsersSettings
    database: Database
    passwords: Passwords
    sealer: Sealer
    keys: RemoteKeys
    known: KnownAccounts
    hash_shares: HashShares
    codes: Codes
    breached: BreachFilter | None

    @property
    def tells_unproved(self) -> bool:
        """Whether notices go to addresses that are not proved: where none is."""
        return self.settings.email_verification == "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    token: AccessToken
    account: Row[Any]
    recent_login: int
    demands_second_factor: bool  # of this account

    def is_recent(self) -> bool:
        return self.token.login_age() <= self.recent_login

    def require_own_second_factor(self) -> None:
        """For what a thief with the password, and perhaps a trusted device, must not do. Raises `SecondFactorRequired`
        if the account has a second factor that the login did not use.
        """
        if has_second_factor(self.account) and not self.token.second_factor:
            raise SecondFactorRequired

    def require_recent_login(self) -> None:
        """Raises `LoginTooOld`, `SecondFactorRequired`."""
        if not self.is_recent():
            raise LoginTooOld
        self.require_own_second_factor()

    def require_admin(self) -> None:
        """Raises `NotPermitted`, `SecondFactorRequired`."""
        if not self.account.is_admin:
            raise NotPermitted
        if self.demands_second_factor and not self.token.second_factor:
            raise SecondFactorRequired
        self.require_own_second_factor()

    def require_admin_with_recent_login(self) -> None:
        """Raises what `require_admin` raises, `LoginTooOld`."""
        self.require_admin()
        self.require_recent_login()

    def require_admin_of(self, account: UUID) -> None:
        """Raises `NotPermitted` if the account is not the caller's own and the caller is no administrator."""
        if account != self.token.account:
            self.require_admin()


async def composed(request: Request) -> Users:
    users: Users = request.app.state.users
    return users


Composed = Annotated[Users, Depends(composed)]


async def caller(request: Request, _scheme: AccessScheme = None) -> Caller:
    """Raises `TokenMissing`, `TokenNotValid`; `Unavailable` while no public key has been fetched yet."""
    bearer = bearer_token(request.scope)
    users = await composed(request)
    settings = users.settings
    expected = kind(issuer=settings.issuer, audience=settings.audience)
    try:
        token = await users.keys.read(bearer, expected)
    except TokenInvalid as error:
        log.info("access token refused", reason=str(error))
        raise TokenNotValid from None
    account = await users.known.behind(token)
    if account is None or not account.is_active:
        raise TokenNotValid
    demanded = settings.demands_second_factor(is_admin=account.is_admin)
    return Caller(token=token, account=account, recent_login=settings.recent_login, demands_second_factor=demanded)


KnownCaller = Annotated[Caller, Depends(caller)]
