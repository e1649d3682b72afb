"""The three kinds of token that auth signs, and reads back. Revocation goes by `jti` or `sid`, never by the text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt
from uuid_utils.compat import uuid7

from services.auth.keys import KeyRing
from services.auth.settings import AuthSettings
from shared import access_tokens
from shared.access_tokens import AccessToken, AccessTokens
from shared.signed_tokens import Kind, TokenInvalid, read

# The database judges these two; a process whose clock is this far off still serves.
_LEEWAY = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What an access token says of its session; `now` is the database's clock."""

    id: UUID
    account: UUID
    epoch: int
    auth_time: datetime
    amr: list[str]
    now: datetime


class Tokens:
    def __init__(self, settings: AuthSettings, keys: KeyRing) -> None:
        issuer, audience = settings.issuer, settings.audience
        self.keys = keys
        self._settings = settings
        self._access = access_tokens.kind(issuer=issuer, audience=audience)
        self._refresh = Kind("rt+jwt", f"{audience}/refresh", issuer, _LEEWAY)
        self._read_access = AccessTokens()
        self._temporary = Kind("otp+jwt", f"{audience}/verify-otp", issuer, _LEEWAY)

    def access(self, session: SessionFacts) -> str:
        """RFC 9068, with `sid`, `auth_time`, `amr` and the account's session epoch."""
        claims = {
            "client_id": self._settings.audience,
            "sid": str(session.id),
            "epoch": session.epoch,
            "auth_time": int(session.auth_time.timestamp()),
            "amr": session.amr,
        }
        lifetime = self._settings.access_token_lifetime
        return self._sign(self._access, session.account, uuid7(), session.now, lifetime, claims)

    def refresh(self, account: UUID, token_id: UUID, now: datetime) -> str:
        return self._sign(self._refresh, account, token_id, now, self._settings.refresh_token_lifetime)

    def temporary(self, account: UUID, challenge: UUID, now: datetime) -> str:
        return self._sign(self._temporary, account, challenge, now, self._settings.otp_lifetime)

    def read_access(self, token: str) -> AccessToken:
        """Raises `TokenInvalid`, as do the next two."""
        return self._read_access.read(token, self._access, self.keys.find)

    def read_refresh(self, token: str) -> UUID:
        return self._id(token, self._refresh)

    def read_temporary(self, token: str) -> UUID:
        return self._id(token, self._temporary)

    def _id(self, token: str, kind: Kind) -> UUID:
        claims = read(token, kind, self.keys.find)
        try:
            return UUID(claims["jti"])
        except ValueError:
            raise TokenInvalid("jti is no UUID") from None

    def _sign(
        self,
        kind: Kind,
        account: UUID,
        token_id: UUID,
        now: datetime,
        lifetime: int,
        claims: dict[str, Any] | None = None,
    ) -> str:
        key = self.keys.signing_key()
        issued_at = int(now.timestamp())
        payload = {
            "iss": kind.issuer,
            "aud": kind.audience,
            "sub": str(account),
            "jti": str(token_id),
            "iat": issued_at,
            "exp": issued_at + lifetime,
            **(claims or {}),
        }
        return jwt.encode(payload, key.private, algorithm=key.algorithm, headers={"kid": key.kid, "typ": kind.typ})
