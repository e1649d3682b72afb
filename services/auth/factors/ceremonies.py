"""Ceremonies of passkeys: what a browser is asked to sign, as a token of ours. Nothing is stored until one is answered;
then its id is, so it is answered once.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.tokens.issue import Tokens
from shared.tokens.signed import TokenInvalid

log = structlog.get_logger()

Purpose = Literal["register", "login", "second"]

# Seconds: browsers ask a person, who may have to fetch a phone first.
LIFETIME: Final = 300
_CHALLENGE_BYTES: Final = 32

# For a login that begins with the passkey: nobody is known yet.
NOBODY: Final = "nobody"

# The clock of the database, as for everything that expires (docs/decisions/0004-challenge-expiry.md).
_USE: Final = text(
    """
INSERT INTO auth.used_ceremonies (id, expires_at)
SELECT :id, CAST(:expires_at AS timestamptz) WHERE CAST(:expires_at AS timestamptz) > clock_timestamp()
ON CONFLICT DO NOTHING
RETURNING id
"""
)


class AnswerNotValid(Exception):
    """To a ceremony. The text is for the log, never for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    id: UUID
    challenge: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ceremonies:
    """`of`: the account that adds a passkey, or the challenge of the second step; nobody for a login."""

    tokens: Tokens

    async def begin(self, connection: AsyncConnection, purpose: Purpose, of: UUID | None = None) -> tuple[str, bytes]:
        """The token of a new ceremony, and the challenge that is to be signed."""
        challenge = os.urandom(_CHALLENGE_BYTES)
        now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        written = base64.urlsafe_b64encode(challenge).decode()
        token = self.tokens.ceremony(_subject(of), uuid7(), now, LIFETIME, purpose=purpose, challenge=written)
        return token, challenge

    def read(self, token: str, purpose: Purpose, of: UUID | None = None) -> Ceremony | None:
        """None unless it is one of ours, for this purpose, and of the same `of`; `use` looks at its time."""
        try:
            claims = self.tokens.read_ceremony(token)
        except TokenInvalid as error:
            log.info("ceremony refused", reason=str(error))
            return None
        if (claims.get("purpose"), claims["sub"]) != (purpose, _subject(of)):
            log.info("ceremony refused", reason="of another purpose or owner")
            return None
        return _ceremony_in(claims)

    async def use(self, connection: AsyncConnection, ceremony: Ceremony) -> bool:
        """Whether it was neither used before nor over. Call it before the answer is looked at, and commit in both
        cases: else one ceremony would allow many guesses.
        """
        values = {"id": ceremony.id, "expires_at": ceremony.expires_at}
        return (await connection.execute(_USE, values)).one_or_none() is not None


def _subject(of: UUID | None) -> str:
    return str(of) if of is not None else NOBODY


def _ceremony_in(claims: Mapping[str, Any]) -> Ceremony | None:
    try:
        return Ceremony(
            id=UUID(claims["jti"]),
            challenge=base64.urlsafe_b64decode(claims["challenge"]),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        log.info("ceremony refused", reason=type(error).__name__)
        return None
