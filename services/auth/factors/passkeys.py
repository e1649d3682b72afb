"""The passkeys of an account: added, listed, named and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Row, RowMapping, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.assertions import Answer, Assertions, PasskeyNotValid, Question, known_of
from services.auth.factors.ceremonies import AnswerNotValid
from services.auth.factors.enrolled import Change, Enrolled
from services.auth.factors.webauthn_options import creation_options
from services.auth.tables import passkeys, trail
from shared.audit_words import Act
from shared.database.pool import Database
from shared.messaging.notice_events import NoticeWord
from shared.tokens.access import AccessToken
from shared.web.problems import ItemNotFound, Problem

log = structlog.get_logger()

MOST: Final = 20
_SHOWN = (
    passkeys.c.id,
    passkeys.c.name,
    passkeys.c.created_at,
    passkeys.c.last_used_at,
    passkeys.c.synced,
    passkeys.c.transports,
)


class TooManyPasskeys(Problem):
    status = 409
    code = "too_many_passkeys"
    detail = f"An account has at most {MOST} passkeys: remove one first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkeys:
    """`owner`: the token of the session that asks, which goes on."""

    database: Database
    enrolled: Enrolled
    assertions: Assertions

    async def options(self, owner: Identity) -> Question:
        """Raises `PasskeysOff`, `TooManyPasskeys`, `TokenNotValid`."""
        party, account = self.assertions.here().party, owner.id
        async with self.database.transaction() as connection:
            await self.enrolled.lock(connection, account)
            handle = await self.enrolled.user_handle(connection, account)
            known = await _known_unless_too_many(connection, account)
            ceremony, challenge = await self.assertions.ceremonies.begin(connection, "register", account)
        options = creation_options(party, challenge, handle=handle, username=owner.username_key, known=known)
        return Question(ceremony=ceremony, options=options)

    async def add(self, owner: AccessToken, given: Answer, name: str) -> RowMapping:
        """Raises `PasskeysOff`, `PasskeyNotValid`, `TooManyPasskeys`, `TokenNotValid`."""
        async with self.database.transaction() as connection:
            await self.enrolled.lock_for(connection, owner)
            await _known_unless_too_many(connection, owner.account)
            row = await self._insert(connection, owner.account, given, name)
            if row is not None:
                await self.enrolled.changed(connection, _change(owner, "factor_added"))
            else:
                await trail.record(connection, "factor_added", "refused", "passkey_not_valid", account=owner.account)
        if row is None:  # raised after the commit: the ceremony must stay used
            raise PasskeyNotValid
        return row

    async def list(self, connection: AsyncConnection, account: UUID) -> Sequence[RowMapping]:
        """`id, name, created_at, last_used_at, synced, transports`, the newest first."""
        query = select(*_SHOWN).where(passkeys.c.account_id == account).order_by(passkeys.c.id.desc())
        return (await connection.execute(query)).mappings().all()

    async def rename(self, account: UUID, passkey: UUID, name: str) -> RowMapping:
        """Raises `ItemNotFound`."""
        change = update(passkeys).values(name=name).where(_own(account, passkey)).returning(*_SHOWN)
        async with self.database.transaction() as connection:
            row = (await connection.execute(change)).mappings().one_or_none()
        if row is None:
            raise ItemNotFound
        return row

    async def remove(self, owner: AccessToken, passkey: UUID) -> None:
        """Raises `ItemNotFound`, `TokenNotValid`."""
        async with self.database.transaction() as connection:
            await self.enrolled.lock_for(connection, owner)
            if not (await connection.execute(delete(passkeys).where(_own(owner.account, passkey)))).rowcount:
                raise ItemNotFound
            await self.enrolled.changed(connection, _change(owner, "factor_removed"))

    async def _insert(self, connection: AsyncConnection, account: UUID, given: Answer, name: str) -> RowMapping | None:
        """None if the answer is not right, or if its credential is enrolled already, whoever has it."""
        answers, ceremonies = self.assertions.here().answers, self.assertions.ceremonies
        ceremony = ceremonies.read(given.ceremony, "register", account)
        if ceremony is None or not await ceremonies.use(connection, ceremony):
            return None
        try:
            key = answers.new_key(given.credential, ceremony.challenge)
        except AnswerNotValid as error:
            log.info("passkey refused", reason=str(error))
            return None
        new = insert(passkeys).values(
            id=uuid7(),
            account_id=account,
            transports=given.credential["response"].get("transports") or [],
            name=name,
            **asdict(key),
        )
        once = new.on_conflict_do_nothing(index_elements=["credential_id"]).returning(*_SHOWN)
        return (await connection.execute(once)).mappings().one_or_none()


async def _known_unless_too_many(connection: AsyncConnection, account: UUID) -> Sequence[Row[tuple[bytes, list[str]]]]:
    known = (await connection.execute(known_of(account))).all()
    if len(known) >= MOST:
        raise TooManyPasskeys
    return known


def _own(account: UUID, passkey: UUID) -> ColumnElement[bool]:
    return and_(passkeys.c.id == passkey, passkeys.c.account_id == account)


def _change(owner: AccessToken, act: Act) -> Change:
    notice: NoticeWord = "passkey_added" if act == "factor_added" else "passkey_removed"
    return Change(
        account=owner.account, act=act, reason="passkey", notice=notice, actor=owner.account, kept=owner.session
    )
