"""The passkeys of an account: added, listed, named and removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, and_, any_, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.factors.assertions import Assertions, PasskeyNotValid
from services.auth.factors.ceremonies import AnswerNotValid
from services.auth.factors.enrolled import Change, Enrolled
from services.auth.factors.webauthn_options import creation_options
from services.auth.tables import identities, passkeys, trail
from shared.database.pool import Database
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

# Of an account's first second factor: its recovery codes, to be shown once; none if it has had some.
FirstCodes = Callable[[AsyncConnection, UUID], Awaitable[Sequence[str]]]


class TooManyPasskeys(Problem):
    status = 409
    code = "too_many_passkeys"
    detail = f"An account has at most {MOST} passkeys: remove one first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a browser is to ask its authenticator, and the token to send back with the answer."""

    ceremony: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`credential`: as the browser wrote it."""

    ceremony: str
    credential: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    passkey: RowMapping
    recovery_codes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkeys:
    """`token`: of the session that asks, which goes on."""

    database: Database
    enrolled: Enrolled
    assertions: Assertions
    first_codes: FirstCodes

    async def options(self, token: AccessToken) -> Question:
        """Raises `PasskeysOff`, `TooManyPasskeys`, `TokenNotValid`."""
        party, account = self.assertions.here().party, token.account
        async with self.database.transaction() as connection:
            await self.enrolled.lock(connection, account)
            known = (await connection.execute(_known_of(account))).all()
            if len(known) >= MOST:
                raise TooManyPasskeys
            handle = await self.enrolled.user_handle(connection, account)
            username = await connection.scalar(select(identities.c.username_key).where(identities.c.id == account))
            ceremony, challenge = await self.assertions.ceremonies.begin(connection, "register", account)
        options = creation_options(party, challenge, handle=handle, username=username, known=known)
        return Question(ceremony=ceremony, options=options)

    async def add(self, token: AccessToken, given: Answer, name: str) -> Added:
        """Raises `PasskeysOff`, `PasskeyNotValid`, `TooManyPasskeys`, `TokenNotValid`."""
        added = None
        async with self.database.transaction() as connection:
            await self.enrolled.lock(connection, token.account)
            row = await self._insert(connection, token.account, given, name)
            if row is not None:
                added = await self._added(connection, token, row)
            else:
                await trail.record(connection, "factor_added", "refused", "passkey_not_valid", account=token.account)
        if added is None:  # raised after the commit: the ceremony must stay used
            raise PasskeyNotValid
        return added

    async def _insert(
        self, connection: AsyncConnection, account: UUID, given: Answer, name: str
    ) -> RowMapping | None:
        answers, ceremonies = self.assertions.here().answers, self.assertions.ceremonies
        ceremony = ceremonies.read(given.ceremony, "register", account)
        if ceremony is None or not await ceremonies.use(connection, ceremony):
            return None
        try:
            key = answers.new_key(given.credential, ceremony.challenge)
        except AnswerNotValid as error:
            log.info("passkey refused", reason=str(error))
            return None
        if len((await connection.execute(_known_of(account))).all()) >= MOST:
            raise TooManyPasskeys
        # A credential that another account has would log in one of the two.
        new = (
            insert(passkeys)
            .values(
                id=uuid7(),
                account_id=account,
                credential_id=key.credential_id,
                public_key=key.public_key,
                sign_count=key.sign_count,
                synced=key.synced,
                aaguid=key.aaguid,
                transports=given.credential["response"].get("transports") or [],
                name=name,
            )
            .on_conflict_do_nothing(index_elements=["credential_id"])
            .returning(*_SHOWN)
        )
        return (await connection.execute(new)).mappings().one_or_none()

    async def _added(self, connection: AsyncConnection, token: AccessToken, row: RowMapping) -> Added:
        codes = await self.first_codes(connection, token.account)
        await self.enrolled.changed(
            connection,
            Change(
                account=token.account,
                act="factor_added",
                notice="passkey_added",
                reason="passkey",
                actor=token.account,
                kept=token.session,
            ),
        )
        return Added(passkey=row, recovery_codes=codes)

    async def list(self, account: UUID) -> Sequence[RowMapping]:
        """`id, name, created_at, last_used_at, synced, transports`, the newest first."""
        query = select(*_SHOWN).where(passkeys.c.account_id == account)
        async with self.database.transaction() as connection:
            return (await connection.execute(query.order_by(passkeys.c.created_at.desc()))).mappings().all()

    async def rename(self, account: UUID, passkey: UUID, name: str) -> RowMapping:
        """Raises `ItemNotFound`."""
        change = update(passkeys).values(name=name).where(_own(account, passkey)).returning(*_SHOWN)
        async with self.database.transaction() as connection:
            row = (await connection.execute(change)).mappings().one_or_none()
        if row is None:
            raise ItemNotFound
        return row

    async def remove(self, token: AccessToken, passkey: UUID) -> None:
        """Raises `ItemNotFound`, `TokenNotValid`."""
        async with self.database.transaction() as connection:
            await self.enrolled.lock(connection, token.account)
            gone = await connection.execute(delete(passkeys).where(_own(token.account, passkey)))
            if not gone.rowcount:
                raise ItemNotFound
            await self.enrolled.changed(
                connection,
                Change(
                    account=token.account,
                    act="factor_removed",
                    notice="passkey_removed",
                    reason="passkey",
                    actor=token.account,
                    kept=token.session,
                ),
            )


def _own(account: UUID, passkey: UUID) -> Any:
    return and_(passkeys.c.id == passkey, passkeys.c.account_id == account)


def _known_of(account: UUID) -> Any:
    return select(passkeys.c.credential_id, passkeys.c.transports).where(passkeys.c.account_id == account)
