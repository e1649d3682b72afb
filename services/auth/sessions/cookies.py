"""Sessions of browsers: an opaque cookie in the place of tokens. Its life is in the row, and each use prolongs it
(docs/decisions/0020-browser-sessions.md).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Update
from uuid_utils.compat import uuid7

from services.auth.sessions.active import ActiveSession
from services.auth.sessions.client import Client
from services.auth.sessions.cookie_statements import NOTED_EVERY, Lives, find_session, prolong, swap
from services.auth.sessions.lifecycle import Sessions
from services.auth.sessions.refresh import RefreshTokenNotValid
from services.auth.sessions.statements import values_of
from services.auth.settings import AuthSettings
from services.auth.tables import sessions, trail
from services.auth.tokens.issue import SessionFacts, Tokens
from shared.audit import log_committed
from shared.database.batched_reads import BatchedReads
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.messaging.outbox import event_params
from shared.tokens.access import AccessToken
from shared.tokens.signed import TokenInvalid
from shared.web.bearer import TokenNotValid

log = structlog.get_logger()

# Seconds that an access token for one page lives.
ACCESS_LIFETIME: Final = 60
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
    """`left`: until it ends, however much it is used."""

    session: ActiveSession
    facts: SessionFacts
    last_used_at: datetime
    left: timedelta

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
        lives, staleness = Lives.of(settings), timedelta(seconds=settings.admin_staleness)
        self._swap = swap(lives)
        self._used_by_page, self._used_at_gateway = prolong(lives, by_page=True), prolong(lives, by_page=False)
        at_gateway = sessions.c.gate_hash if self._gated else sessions.c.cookie_hash
        self._of_page = self._reads(Prepared(find_session(sessions.c.cookie_hash, lives, staleness)))
        self._of_gateway = self._reads(Prepared(find_session(at_gateway, lives, staleness)))

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
        event = trail.event("cookie_made", account=None)
        values = {"token": token, "keep": keep, "cookie": _hash(cookie), "gate": _hash(gate) if gate else None}
        async with self._database.transaction() as connection:
            begun = (await connection.execute(self._swap, values | event_params(event))).one_or_none()
            if begun is None:
                await self._sessions.refuse(connection, token)
        if begun is None:  # raised after the commit: a reuse must have ended the session
            raise RefreshTokenNotValid
        owner = {"account_id": begun.account_id, "actor_id": begun.account_id, "session_id": begun.id}
        log_committed(event.model_copy(update=owner))
        return Cookies(session=cookie, gate=gate, max_age=int(begun.left.total_seconds()) if begun.kept else None)

    async def access(self, cookie: str, client: Client) -> tuple[str, int]:
        """An access token of the session for one page, and its life in seconds. Raises `TokenNotValid`."""
        found = await self._of_page.get(_hash(cookie))
        if found is None:
            raise TokenNotValid
        await self._prolong(found, self._used_by_page, values_of(client))
        lifetime = min(ACCESS_LIFETIME, int(found.left.total_seconds()))
        return self._tokens.access(found.facts, uuid7(), lifetime), lifetime

    async def at_gateway(self, cookie: str) -> BrowserSession | None:
        """The active session of the cookie that forward-auth takes; None if there is none."""
        found = await self._of_gateway.get(_hash(cookie))
        if found is not None:
            await self._prolong(found, self._used_at_gateway, {})
        return found

    async def _prolong(self, found: BrowserSession, used: Update, client: Mapping[str, Any]) -> None:
        if found.facts.now - found.last_used_at < NOTED_EVERY:
            return
        async with self._database.statement() as connection:
            await connection.execute(used, {"session": found.facts.id, **client})

    def _reads(self, statement: Prepared) -> BatchedReads[bytes, BrowserSession]:
        async def read(wanted: AbstractSet[bytes]) -> Mapping[bytes, BrowserSession]:
            rows = await statement.run(self._database, {"wanted": list(wanted)})
            return {bytes(row.cookie): _in_row(row) for row in rows}

        return BatchedReads(read)


def _in_row(row: Any) -> BrowserSession:
    session = ActiveSession(*row[1 : 1 + len(ActiveSession.__dataclass_fields__)])
    return BrowserSession(session=session, facts=SessionFacts.in_row(row), last_used_at=row.last_used_at, left=row.left)


def _hash(value: str) -> bytes:
    """Without a key: a cookie has 256 random bits."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).digest()
