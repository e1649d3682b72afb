"""Signs and reads the four kinds of token. Revocation uses `jti` or `sid`, never the token text. The same claims give
the same text on each replica, so a repeated refresh needs no stored pair (docs/decisions/0003-refresh-grace.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from prometheus_client import Gauge

from services.auth.settings import AuthSettings
from services.auth.tokens.keys import KeyRing
from shared.tokens import access
from shared.tokens.access import AccessToken, AccessTokens, acr_of, acr_value
from shared.tokens.signed import Kind, TokenInvalid, read, sign

KEY_AGE = Gauge(
    "login2fa_signing_key_age_seconds",
    "Time since the key that signs began to sign; NaN if the name of its file holds no time.",
)

# Seconds. The database checks the expiry of refresh and temporary tokens, so a process with a wrong clock serves.
_LEEWAY = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """A session at the time of a pair; `now`: when the pair was made, by the database's clock."""

    id: UUID
    account: UUID
    epoch: int
    began_at: datetime
    auth_time: datetime
    amr: list[str]
    email_verified: bool
    now: datetime

    @classmethod
    def in_row(cls, row: Any) -> SessionFacts:
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})


class Tokens:
    def __init__(self, settings: AuthSettings, keys: KeyRing) -> None:
        issuer, audience = settings.issuer, settings.audience
        self.keys = keys
        KEY_AGE.set_function(lambda: keys.age)
        self._settings = settings
        self._access = access.kind(issuer=issuer, audience=audience)
        self._refresh = Kind("rt+jwt", f"{audience}/refresh", issuer, _LEEWAY)
        self._read_access = AccessTokens()
        self._temporary = Kind("otp+jwt", f"{audience}/verify-otp", issuer, _LEEWAY)
        self._ceremony = Kind("pk+jwt", f"{audience}/passkey", issuer, _LEEWAY)

    def access(self, session: SessionFacts, refresh_id: UUID, at_most: int | None = None) -> str:
        """RFC 9068, with `sid`, `auth_time`, `amr`, `acr`, `email_verified` and the session epoch; `refresh_id`: of the
        same pair. `at_most`: seconds that it lives.
        """
        lifetime = self.access_lifetime(session)
        return self._sign(
            self._access,
            session.account,
            uuid5(refresh_id, "access token"),
            session.now,
            lifetime if at_most is None else min(lifetime, at_most),
            client_id=self._settings.audience,
            sid=str(session.id),
            epoch=session.epoch,
            auth_time=int(session.auth_time.timestamp()),
            amr=session.amr,
            acr=acr_value(acr_of(session.amr)),
            email_verified=session.email_verified,
        )

    def access_lifetime(self, session: SessionFacts) -> int:
        """Seconds: no token outlives its session."""
        return min(self._settings.access_token_lifetime, self._session_left(session))

    def refresh(self, session: SessionFacts, token_id: UUID) -> str:
        lifetime = min(self._settings.refresh_token_lifetime, self._session_left(session))
        return self._sign(self._refresh, session.account, token_id, session.now, lifetime)

    def temporary(self, account: UUID, challenge: UUID, now: datetime) -> str:
        return self._sign(self._temporary, account, challenge, now, self._settings.otp_lifetime)

    def ceremony(self, subject: str, token_id: UUID, now: datetime, lifetime: int, **claims: str) -> str:
        return self._sign(self._ceremony, subject, token_id, now, lifetime, **claims)

    def _session_left(self, session: SessionFacts) -> int:
        age = int(session.now.timestamp()) - int(session.began_at.timestamp())
        return max(0, self._settings.session_max_lifetime - age)

    def read_access(self, token: str) -> AccessToken:
        """Raises `TokenInvalid`, as do the next three methods."""
        return self._read_access.read(token, self._access, self.keys.find)

    def read_refresh(self, token: str) -> UUID:
        return self._id(token, self._refresh)

    def read_temporary(self, token: str) -> UUID:
        return self._id(token, self._temporary)

    def read_ceremony(self, token: str) -> dict[str, Any]:
        return read(token, self._ceremony, self.keys.find)

    def _id(self, token: str, kind: Kind) -> UUID:
        claims = read(token, kind, self.keys.find)
        try:
            return UUID(claims["jti"])
        except ValueError:
            raise TokenInvalid("jti is no UUID") from None

    def _sign(
        self, kind: Kind, subject: UUID | str, token_id: UUID, now: datetime, lifetime: int, **claims: Any
    ) -> str:
        issued_at = int(now.timestamp())
        key = self.keys.signing_key(issued_at)
        payload = {
            "iss": kind.issuer,
            "aud": kind.audience,
            "sub": str(subject),
            "jti": str(token_id),
            "iat": issued_at,
            "exp": issued_at + lifetime,
            **claims,
        }
        return sign(payload, key.private, key.algorithm, {"kid": key.kid, "typ": kind.typ})
