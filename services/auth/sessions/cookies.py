"""Sessions of browsers: an opaque cookie in the place of tokens. Its life is in the row, and each use prolongs it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    LargeBinary,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    select,
    update,
)
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.active import ActiveSession, active_columns
from services.auth.sessions.lifecycle import Sessions
from services.auth.sessions.refresh import RefreshTokenNotValid
from services.auth.settings import AuthSettings
from services.auth.tables import identities, refresh_tokens, sessions
from services.auth.tokens.issue import SessionFacts, Tokens
from shared.database.batched_reads import BatchedReads
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import TokenNotValid

log = structlog.get_logger()

# Seconds that an access token for one page lives.
ACCESS_LIFETIME: Final = 60
# Else each check of forward-auth would be a write.
_NOTED_EVERY: Final = timedelta(minutes=1)
_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookies:
    """Values of the cookies. `gate`: None unless subdomains are gated. `max_age`: seconds that the browser keeps them;
    None: until it is closed.
    """

    session: str
    gate: str | None
    max_age: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSession:
    session: ActiveSession
    facts: SessionFacts
    last_used_at: datetime

    @property
    def token(self) -> AccessToken:
        """The claims that an access token of this session would have."""
        facts = self.facts
        auth_time = int(facts.auth_time.timestamp())
        return AccessToken(
            account=facts.account, session=facts.id, epoch=facts.epoch, auth_time=auth_time, amr=tuple(facts.amr)
        )


class CookieSessions:
    def __init__(self, settings: AuthSettings, database: Database, tokens: Tokens, token_sessions: Sessions) -> None:
        self._database = database
        self._tokens = tokens
        self._sessions = token_sessions
        self._gated = bool(settings.gate_cookie_domain)
        self._max_age = settings.kept_cookie_lifetime
        self._max_lifetime = timedelta(seconds=settings.session_max_lifetime)
        self._expires_at = _expiry(settings)
        of_cookie = sessions.c.gate_hash if self._gated else sessions.c.cookie_hash
        staleness = timedelta(seconds=settings.admin_staleness)
        self._of_page = BatchedReads(self._read(Prepared(self._found(sessions.c.cookie_hash, staleness))))
        self._of_gateway = BatchedReads(self._read(Prepared(self._found(of_cookie, staleness))))

    async def begin(self, refresh_token: str, *, keep: bool | None) -> Cookies:
        """The session of the token goes on with cookies; its refresh token is used up. `keep`: logged in, for longer
        and when the browser is closed; None: as before. Raises `RefreshTokenNotValid`.
        """
        try:
            token = self._tokens.read_refresh(refresh_token)
        except TokenInvalid as error:
            log.info("refresh token refused", reason=str(error))
            raise RefreshTokenNotValid from None
        cookie, gate = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES) if self._gated else None
        values = {"token": token, "keep": keep, "cookie": _hash(cookie), "gate": _hash(gate) if gate else None}
        async with self._database.transaction() as connection:
            begun = (await connection.execute(self._swap(), values)).one_or_none()
            if begun is None:
                await self._sessions.refuse(connection, token)
        if begun is None:  # raised after the commit: a reuse must have ended the session
            raise RefreshTokenNotValid
        return Cookies(session=cookie, gate=gate, max_age=self._max_age if begun.kept else None)

    async def access(self, cookie: str) -> tuple[str, int]:
        """An access token of the session for one page, and its life in seconds. Raises `TokenNotValid`."""
        found = await self._of_page.get(_hash(cookie))
        if found is None:
            raise TokenNotValid
        await self._prolong(found)
        lifetime = min(ACCESS_LIFETIME, self._tokens.access_lifetime(found.facts))
        return self._tokens.access(found.facts, uuid7(), lifetime), lifetime

    async def at_gateway(self, cookie: str) -> BrowserSession | None:
        """The active session of the cookie that forward-auth takes; None if there is none."""
        found = await self._of_gateway.get(_hash(cookie))
        if found is not None:
            await self._prolong(found)
        return found

    async def _prolong(self, found: BrowserSession) -> None:
        if found.facts.now - found.last_used_at < _NOTED_EVERY:
            return
        prolonged = (
            update(sessions)
            .values(last_used_at=func.now(), expires_at=self._expires_at(sessions.c.kept))
            .where(sessions.c.id == found.facts.id, sessions.c.last_used_at < func.now() - _NOTED_EVERY)
        )
        async with self._database.statement() as connection:
            await connection.execute(prolonged)

    def _swap(self) -> Any:
        used = (
            update(refresh_tokens)
            .values(used_at=func.clock_timestamp())
            .where(refresh_tokens.c.id == bindparam("token", type_=Uuid), refresh_tokens.c.used_at.is_(None))
            .where(refresh_tokens.c.expires_at > func.clock_timestamp())
            .where(refresh_tokens.c.session_id == sessions.c.id, sessions.c.account_id == identities.c.id)
            .where(is_active_session(self._max_lifetime))
            .returning(sessions.c.id, func.coalesce(bindparam("keep", type_=Boolean), sessions.c.kept).label("kept"))
            .cte("used")
        )
        return (
            update(sessions)
            .values(
                cookie_hash=bindparam("cookie", type_=LargeBinary),
                gate_hash=bindparam("gate", type_=LargeBinary),
                kept=used.c.kept,
                last_used_at=func.now(),
                expires_at=self._expires_at(used.c.kept),
            )
            .where(sessions.c.id == used.c.id)
            .returning(sessions.c.kept)
        )

    def _found(self, of_cookie: ColumnElement[Any], staleness: timedelta) -> Any:
        return (
            select(
                of_cookie.label("of_cookie"),
                *active_columns(staleness),
                sessions.c.id,
                sessions.c.epoch,
                sessions.c.began_at,
                sessions.c.auth_time,
                sessions.c.amr,
                sessions.c.last_used_at,
            )
            .join_from(sessions, identities, identities.c.id == sessions.c.account_id)
            .where(of_cookie == any_(bindparam("wanted", type_=ARRAY(LargeBinary))))
            .where(is_active_session(self._max_lifetime))
        )

    def _read(self, statement: Prepared) -> Any:
        async def read(wanted: AbstractSet[bytes]) -> Mapping[bytes, BrowserSession]:
            rows = await statement.run(self._database, {"wanted": list(wanted)})
            return {bytes(row[0]): _in_row(row) for row in rows}

        return read


def _in_row(row: Sequence[Any]) -> BrowserSession:
    _, account, is_admin, of_admin, verified, groups, now, id_, epoch, began_at, auth_time, amr, last_used_at = row
    session = ActiveSession(account, is_admin, of_admin, verified, groups, now)
    facts = SessionFacts(
        id=id_,
        account=account,
        epoch=epoch,
        began_at=began_at,
        auth_time=auth_time,
        amr=list(amr),
        email_verified=verified,
        now=now,
    )
    return BrowserSession(session=session, facts=facts, last_used_at=last_used_at)


def _expiry(settings: AuthSettings) -> Any:
    def expires_at(kept: ColumnElement[bool]) -> ColumnElement[Any]:
        idle = case((kept, timedelta(seconds=settings.kept_cookie_idle)), else_=timedelta(seconds=settings.cookie_idle))
        life = case(
            (kept, timedelta(seconds=settings.kept_cookie_lifetime)), else_=timedelta(seconds=settings.cookie_lifetime)
        )
        whole = func.least(
            sessions.c.began_at + life, sessions.c.began_at + timedelta(seconds=settings.session_max_lifetime)
        )
        return func.least(func.now() + idle, whole)

    return expires_at


def _hash(value: str) -> bytes:
    """Without a key: a cookie has 256 random bits."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).digest()
