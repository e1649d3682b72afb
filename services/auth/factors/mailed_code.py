"""A code that came by mail, as a proof."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.codes import Codes
from services.auth.factors.methods import Method
from services.auth.factors.proofs import Attempt, OtpNotValid
from shared.audit_words import Act, Reason
from shared.tokens.access import MFA, OTP
from shared.web.problems import Problem


@dataclass(frozen=True, slots=True)
class MailedCode:
    method: ClassVar[Method] = "email"
    amr: ClassVar[Sequence[str]] = (OTP, MFA)
    counts: ClassVar[bool] = True
    act: ClassVar[Act] = "code_verified"
    wrong: ClassVar[Reason] = "wrong_code"
    refusal: ClassVar[type[Problem]] = OtpNotValid

    codes: Codes
    code: str

    async def holds(self, _connection: AsyncConnection, attempt: Attempt) -> bool:
        """A challenge that is used takes no further code, so this one needs no use of its own."""
        stored = attempt.code_mac
        macs = self.codes.macs(attempt.challenge, self.code)
        return stored is not None and any(hmac.compare_digest(stored, mac) for mac in macs)
