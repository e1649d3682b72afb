"""Answers that a passkey signs: a whole login, or the second step of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

import structlog
from sqlalchemy import Row, Select, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.notices import Notices
from services.auth.factors.ceremonies import AnswerNotValid, Ceremonies, Ceremony
from services.auth.factors.methods import Method
from services.auth.factors.proofs import Attempt
from services.auth.factors.webauthn_options import request_options
from services.auth.relying_party import RelyingParty
from services.auth.tables import passkeys, trail
from shared.audit_words import Act, Reason
from shared.tokens.access import KEY, MFA, PRESENCE
from shared.web.problems import Problem

if TYPE_CHECKING:
    from services.auth.factors.webauthn_answers import Signed, WebauthnAnswers

log = structlog.get_logger()


class PasskeysOff(Problem):
    status = 409
    code = "passkeys_off"
    detail = "There are no passkeys here: PASSKEYS is off, or no browser would take ISSUER for them"


class PasskeyNotValid(Problem):
    """Malformed, wrong, used, expired, of another site, account or purpose: all get the same answer."""

    status = 400
    code = "passkey_not_valid"
    detail = "Passkey not valid"


# The key proves that its person unlocked it, which is something they have and something they know or are.
WITH_PASSKEY: Final = (KEY, PRESENCE, MFA)

# The row stays locked until the commit: else two answers with one count would both be the next one.
_FIND: Final = text(
    """
SELECT id, passkeys.account_id, public_key, sign_count, user_handle
FROM auth.passkeys JOIN auth.factors ON factors.account_id = passkeys.account_id
WHERE credential_id = :credential_id AND passkeys.account_id = coalesce(CAST(:account AS uuid), passkeys.account_id)
FOR UPDATE OF passkeys
"""
)
_USED: Final = text(
    "UPDATE auth.passkeys SET sign_count = :sign_count, synced = :synced, last_used_at = now() WHERE id = :id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Options for the browser's authenticator, and the token to send back with its answer."""

    ceremony: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`credential`: as the browser wrote it."""

    ceremony: str
    credential: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where passkeys are on. `answers` reads what browsers answer to it."""

    party: RelyingParty
    answers: WebauthnAnswers

    @classmethod
    def of(cls, party: RelyingParty | None) -> Site | None:
        if party is None:
            return None
        from services.auth.factors.webauthn_answers import WebauthnAnswers  # noqa: PLC0415 - 14 MB where passkeys are on

        return cls(party=party, answers=WebauthnAnswers(party))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertions:
    """`site`: None where passkeys are off."""

    site: Site | None
    ceremonies: Ceremonies
    notices: Notices

    def here(self) -> Site:
        """Raises `PasskeysOff`."""
        if self.site is None:
            raise PasskeysOff
        return self.site

    async def owner(
        self,
        connection: AsyncConnection,
        ceremony: Ceremony | None,
        credential: Mapping[str, Any],
        account: UUID | None = None,
    ) -> UUID | None:
        """The account whose passkey signed this ceremony, and uses both; None if it is not right. The caller commits in
        both cases. `account`: the only one that it may be, for one that is known already; else the answer must name it.
        """
        if ceremony is None or not await self.ceremonies.use(connection, ceremony):
            return None
        found = await self._find(connection, credential, account)
        signed = self._signed(ceremony, credential, found) if found is not None else None
        if found is None or signed is None:
            return None
        if signed.user_handle != found.user_handle and (signed.user_handle is not None or account is None):
            log.info("passkey refused", reason="kept for another account")
            return None
        if not _counts_up(found.sign_count, signed.sign_count):
            await self._is_cloned(connection, found)
            return None
        values = {"id": found.id, "sign_count": signed.sign_count, "synced": signed.synced}
        await connection.execute(_USED, values)
        owner: UUID = found.account_id
        return owner

    async def _find(
        self, connection: AsyncConnection, credential: Mapping[str, Any], account: UUID | None
    ) -> Row[*tuple[Any, ...]] | None:
        try:
            which = {"credential_id": self.here().answers.credential_id(credential), "account": account}
        except AnswerNotValid as error:
            log.info("passkey refused", reason=str(error))
            return None
        return (await connection.execute(_FIND, which)).one_or_none()

    def _signed(
        self, ceremony: Ceremony, credential: Mapping[str, Any], passkey: Row[*tuple[Any, ...]]
    ) -> Signed | None:
        try:
            return self.here().answers.signed(credential, ceremony.challenge, passkey.public_key)
        except AnswerNotValid as error:
            log.info("passkey refused", reason=str(error))
            return None

    async def question(self, connection: AsyncConnection, challenge: UUID, account: UUID) -> Question:
        """For an open challenge of the account; its passkeys alone may answer. Raises `PasskeysOff`."""
        party = self.here().party
        known = (await connection.execute(known_of(account))).all()
        ceremony, asked = await self.ceremonies.begin(connection, "second", challenge)
        return Question(ceremony=ceremony, options=request_options(party, asked, known))

    async def _is_cloned(self, connection: AsyncConnection, passkey: Row[*tuple[Any, ...]]) -> None:
        """It stays enrolled: which of the two is the owner's is for the owner to say (WebAuthn section 6.1.1)."""
        log.warning("passkey may be cloned", account=str(passkey.account_id), passkey=str(passkey.id))
        await trail.record(connection, "passkey_verified", "refused", "passkey_cloned", account=passkey.account_id)
        await self.notices.tell_owner(connection, passkey.account_id, "passkey_cloned")


def known_of(account: UUID) -> Select[tuple[bytes, list[str]]]:
    return select(passkeys.c.credential_id, passkeys.c.transports).where(passkeys.c.account_id == account)


def _counts_up(before: int, now: int) -> bool:
    """Keys that are synced count nothing."""
    return now > before or now == before == 0


@dataclass(frozen=True, slots=True)
class PasskeyProof:
    """`ceremony`: the token of one that was begun for this very challenge."""

    method: ClassVar[Method] = "passkey"
    amr: ClassVar[Sequence[str]] = WITH_PASSKEY
    counts: ClassVar[bool] = False
    act: ClassVar[Act] = "passkey_verified"
    wrong: ClassVar[Reason] = "passkey_not_valid"
    refusal: ClassVar[type[Problem]] = PasskeyNotValid

    assertions: Assertions
    answer: Answer

    async def holds(self, connection: AsyncConnection, attempt: Attempt) -> bool:
        ceremony = self.assertions.ceremonies.read(self.answer.ceremony, "second", attempt.challenge)
        owner = await self.assertions.owner(connection, ceremony, self.answer.credential, attempt.account)
        return owner is not None
