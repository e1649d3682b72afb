"""Recovery codes: ten, shown once, for whoever has lost the other factors. Stored as Argon2id hashes under one salt for
the set, so that a try costs one hash and is compared with all ten.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import Identity
from services.auth.factors.enrolled import Change, Enrolled
from services.auth.factors.methods import Method, second_factors
from services.auth.factors.proofs import Attempt, OtpNotValid
from services.auth.tables import challenges, factors, recovery_codes
from shared.audit_words import Act, Reason
from shared.database.pool import Database
from shared.long_codes import in_halves, new_code
from shared.passwords.hashing import Passwords
from shared.tokens.access import MFA, OTP, AccessToken
from shared.web.problems import Problem, Unavailable

log = structlog.get_logger()

_MANY: Final = 10
_SALT_BYTES: Final = 16

_USE: Final = text(
    """
UPDATE auth.recovery_codes SET used_at = now()
WHERE account_id = :account AND hash = :hash AND used_at IS NULL
RETURNING (SELECT count(*) - 1 FROM auth.recovery_codes WHERE account_id = :account AND used_at IS NULL)
"""
)


class NoSecondFactor(Problem):
    status = 409
    code = "no_second_factor"
    detail = "Recovery codes stand in for a second factor, and this account has none: add an app or a passkey first"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCodes:
    codes: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    """`shares`: those of the client in the queue of hashes. A flood has any number of accounts."""

    database: Database
    passwords: Passwords
    enrolled: Enrolled

    async def replace(self, owner: AccessToken, identity: Identity, shares: Sequence[Hashable]) -> NewCodes:
        """A new set in place of the old one. Raises `NoSecondFactor`, `TokenNotValid`, `Unavailable` (too many hashes
        wait).
        """
        if not second_factors(identity):
            raise NoSecondFactor
        made = await self._made(owner, shares, only_first=False)
        assert made is not None  # noqa: S101 - a set that replaces another is always made
        return made

    async def first_ones(self, owner: AccessToken, shares: Sequence[Hashable]) -> list[str] | None:
        """The codes of an account that gets its first factor; None if it has a set, or if too many hashes wait: then it
        can ask for them.
        """
        try:
            made = await self._made(owner, shares, only_first=True)
        except Unavailable:
            log.warning("no recovery codes made: the queue of hashes is full", account=str(owner.account))
            return None
        return made.codes if made is not None else None

    async def find(self, connection: AsyncConnection, account: UUID) -> RowMapping | None:
        """`left`: the number of codes that are not used; `created_at`. None without a set."""
        unused = func.count().filter(recovery_codes.c.used_at.is_(None))
        query = (
            select(unused.label("left"), factors.c.recovery_made_at.label("created_at"))
            .join(factors, factors.c.account_id == recovery_codes.c.account_id)
            .where(recovery_codes.c.account_id == account)
            .group_by(factors.c.recovery_made_at)
        )
        return (await connection.execute(query)).mappings().one_or_none()

    async def proof(self, challenge: UUID, code: str, shares: Sequence[Hashable]) -> RecoveryCode:
        """Hashes before the transaction: no connection waits for it. Raises `Unavailable`."""
        query = select(factors.c.account_id, factors.c.recovery_salt).where(
            factors.c.account_id == challenges.c.account_id, challenges.c.id == challenge
        )
        found = await self.database.read(query)
        account, salt = (found[0].account_id, found[0].recovery_salt) if found else (challenge, None)
        # Without a set too: a challenge of nobody takes as long.
        derived = await self.passwords.derive(code, salt or os.urandom(_SALT_BYTES), [account, *shares])
        return RecoveryCode(enrolled=self.enrolled, derived=derived)

    async def _made(self, owner: AccessToken, shares: Sequence[Hashable], *, only_first: bool) -> NewCodes | None:
        account = owner.account
        of_account = recovery_codes.c.account_id == account
        a_set = select(recovery_codes.c.number).where(of_account).limit(1)
        if only_first and await self.database.read(a_set):
            return None
        salt, codes = os.urandom(_SALT_BYTES), [new_code() for _ in range(_MANY)]
        hashes = [await self.passwords.derive(code, salt, [account, *shares]) for code in codes]
        async with self.database.transaction() as connection:
            await self.enrolled.lock_for(connection, owner)
            # Again: of two factors that are the first, added at once, one would be shown codes that are dead.
            if only_first and (await connection.execute(a_set)).one_or_none() is not None:
                return None
            await connection.execute(delete(recovery_codes).where(of_account))
            rows = [{"account_id": account, "number": number, "hash": each} for number, each in enumerate(hashes, 1)]
            await connection.execute(insert(recovery_codes), rows)
            await self.enrolled.changed(connection, _change(owner))
            made_now = {"recovery_salt": salt, "recovery_made_at": func.now()}
            made = update(factors).where(factors.c.account_id == account).values(made_now)
            created_at = (await connection.execute(made.returning(factors.c.recovery_made_at))).scalar_one()
        return NewCodes(codes=[in_halves(code) for code in codes], created_at=created_at)


@dataclass(slots=True, kw_only=True)
class RecoveryCode:
    """A recovery code, as a proof. `left`: once it was right, how many others are."""

    method: ClassVar[Method] = "recovery"
    amr: ClassVar[Sequence[str]] = (OTP, MFA)
    counts: ClassVar[bool] = True
    act: ClassVar[Act] = "recovery_code_used"
    wrong: ClassVar[Reason] = "wrong_code"
    refusal: ClassVar[type[Problem]] = OtpNotValid

    enrolled: Enrolled
    derived: bytes
    left: int = 0

    async def holds(self, connection: AsyncConnection, attempt: Attempt) -> bool:
        values = {"account": attempt.account, "hash": self.derived}
        used = (await connection.execute(_USE, values)).scalar_one_or_none()
        if used is None:
            return False
        self.left = used
        if not self.left:
            await self.enrolled.raise_version(connection, attempt.account)
        notices = self.enrolled.notices
        await notices.tell_owner(connection, attempt.account, "recovery_code_used", recovery_codes_left=self.left)
        return True


def _change(owner: AccessToken) -> Change:
    act: Act = "recovery_codes_made"
    return Change(account=owner.account, act=act, notice="recovery_codes_made", actor=owner.account, kept=owner.session)
