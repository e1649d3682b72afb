"""Proofs complete a challenge: of any kind, against an attempt that is counted already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.methods import Method
from shared.audit_words import Act, Reason
from shared.web.problems import Problem


class OtpNotValid(Problem):
    """Wrong, used, expired or no attempts left: all get the same answer."""

    status = 400
    code = "otp_not_valid"
    detail = "OTP not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An open challenge that is locked, and its account. `session`: the one that steps up, if any. `code_mac`: of the
    mailed code, if one was mailed.
    """

    challenge: UUID
    account: UUID
    epoch: int
    session: UUID | None
    code_mac: bytes | None
    email: str
    email_verified: bool
    password_by_mail: bool
    now: datetime


class Proof(Protocol):
    """An answer that completes a challenge. `amr`: how it authenticates (RFC 8176). `counts`: whether it can be
    guessed, so that a wrong one counts (services.auth.factors.failed_codes).
    """

    method: ClassVar[Method]
    amr: ClassVar[Sequence[str]]
    counts: ClassVar[bool]
    act: ClassVar[Act]
    wrong: ClassVar[Reason]
    refusal: ClassVar[type[Problem]]

    async def holds(self, connection: AsyncConnection, attempt: Attempt) -> bool:
        """Whether it is right. Uses it up, in the transaction that completes the challenge."""
