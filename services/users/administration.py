"""Account administration from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, audit, in_step, incarnation
from services.users.accounts import NewAccount, valid_email
from services.users.audit import OPERATOR
from services.users.breach_filter import BreachFilter
from services.users.codes import Codes
from services.users.invitations import NewInvitation, write_invitation
from services.users.problems import AccountNotValid, ForceNeeded, LastAdministrator, UserAlreadyExists
from services.users.schemas import InvitationIn, PasswordIn, RegistrationIn
from services.users.settings import UsersSettings
from services.users.usernames import refuse_foreign
from services.users.weak_passwords import refuse_weak
from services.users.writes import Write, operating
from shared.database.pool import Database
from shared.names import canonical
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.web.problems import ItemNotFound

_PAGE = 500

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(frozen=True, slots=True)
class Administration:
    """Acts are audited with the reason `operator`. An account is named by its `username`, `email` or `id`."""

    database: Database
    passwords: Passwords
    sealer: Sealer
    codes: Codes
    settings: UsersSettings
    breached: BreachFilter | None

    async def create(self, *, is_admin: bool, **fields: Any) -> None:
        """The operator answers for the address. `fields`: of a registration, whose errors it raises. `username`
        defaults to the address.
        """
        valid = self._registration(**fields)
        hashed = await self._hashed(valid.password, valid)
        new = NewAccount(
            **valid.model_dump(exclude={"password", "invitation_code"}),
            password_hash=hashed,
            is_admin=is_admin,
            email_verified_at=datetime.now(UTC),
        )
        async with self.database.transaction() as connection:
            row = await accounts.create(connection, self.sealer, new)
            await audit.record_creation(connection, row, OPERATOR)

    async def invite(self, new: NewInvitation) -> datetime:
        """Returns when it expires. Raises `EmailNotValid`, `UserAlreadyExists`, `TooManyRequests`."""
        async with self.database.transaction() as connection:
            expires_at = await write_invitation(connection, self.codes, self.settings, new, by=None)
            await OPERATOR.record(connection, "invitation", account=None)
        return expires_at

    async def refuse_new(self, **names: Any) -> None:
        """Raises what `create` would raise, apart from its password."""
        new = self._registration(password="", **names)
        refuse_foreign(new.username, email=new.email)
        same_name = await self.page(limit=1, username_key=canonical(new.username))
        if same_name or await self.page(limit=1, email_key=canonical(new.email)):
            raise UserAlreadyExists

    async def page(self, *, after: UUID | None = None, limit: int, **filters: Any) -> Sequence[Row[Any]]:
        async with self.database.transaction() as connection:
            return await accounts.page(connection, filters=filters, after=after, limit=limit)

    async def find(self, **named: Any) -> Row[Any]:
        ((name, value),) = named.items()
        filters = {name: value} if name == "id" else {f"{name}_key": canonical(value)}
        rows = await self.page(limit=1, **filters)
        if not rows:
            raise ItemNotFound
        return rows[0]

    async def change(self, changes: Mapping[str, Any], *, force: bool = False, **named: Any) -> Row[Any]:
        """Raises `ItemNotFound`, and what a change over HTTP raises."""
        async with self._writing(named, force=force) as write:
            return await write.change(changes)

    async def set_password(self, password: str, **named: Any) -> Row[Any]:
        """Raises `ItemNotFound`, `PasswordTooWeak`."""
        row = await self.find(**named)
        try:
            PasswordIn(password=password, confirm_password=password)
        except ValidationError as error:
            raise _first(error) from None
        return await self.change({"password_hash": await self._hashed(password, row)}, id=row.id)

    async def set_email(self, email: str, **named: Any) -> Row[Any]:
        """The operator answers for the address. Raises `ItemNotFound`, `EmailNotValid`, `UserAlreadyExists`."""
        address = valid_email(email, reserved=self._reserved)
        return await self.change({"email": address, "email_verified_at": datetime.now(UTC)}, **named)

    async def remove(self, *, force: bool = False, **named: Any) -> Row[Any]:
        """Raises `ItemNotFound`, `LastAdministrator`."""
        async with self._writing(named, force=force) as write:
            await write.remove()
        return write.row

    @property
    def _reserved(self) -> bool:
        return self.settings.mail_reserved_domains

    def _registration(self, *, email: str, username: str | None = None, **fields: Any) -> RegistrationIn:
        email = valid_email(email, reserved=self._reserved)
        try:
            return RegistrationIn(email=email, username=username or email, **fields)
        except ValidationError as error:
            raise _first(error) from None

    async def _hashed(self, password: str, owner: RegistrationIn | Row[Any]) -> str:
        refuse_weak(password, owner, min_length=self.settings.password_min_length, breached=self.breached)
        return await self.passwords.hash(password)

    @asynccontextmanager
    async def _writing(self, named: Mapping[str, Any], *, force: bool) -> AsyncIterator[Write]:
        row = await self.find(**named)
        try:
            also_unproved = self.settings.email_verification == "off"
            async with operating(self.database, self.sealer, row.id, also_unproved=also_unproved, force=force) as write:
                yield write
        except LastAdministrator:
            raise ForceNeeded from None


def invitation(**fields: Any) -> NewInvitation:
    """Raises `AccountNotValid`."""
    try:
        return NewInvitation(**InvitationIn(**fields).model_dump())
    except ValidationError as error:
        raise _first(error) from None


@asynccontextmanager
async def offline(settings: UsersSettings) -> AsyncIterator[Administration]:
    """For the command line: no HTTP and no relay. The relay of a running replica publishes its events."""
    database = Database(settings.users_database_url.get_secret_value(), pool_size=2)
    passwords = Passwords.of(settings)
    try:
        yield Administration(
            database,
            passwords,
            Sealer.of(settings.account_sealing_keys),
            Codes(settings, Sealer.of(settings.mailed_code_sealing_keys)),
            settings,
            BreachFilter(settings.breached_passwords) if settings.breached_passwords else None,
        )
    finally:
        passwords.close()
        await database.close()


def _first(error: ValidationError) -> AccountNotValid:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return AccountNotValid(f"{'.'.join(map(str, first['loc']))}: {message}")


async def republish(transaction: Transaction, sealer: Sealer, *, force: bool = False) -> AsyncIterator[str]:
    """Writes all accounts to the outbox again, a page in each `transaction`; yields the progress. Auth ignores what is
    not newer than its own, so this rebuilds a lost read model and does not harm a good one. `force` is for a database
    restored from a backup: auth accepts everything as newer, all sessions end, and in the end auth lets in no account
    that is not here.
    """
    published, after, number = 0, None, None
    if force:
        async with transaction() as connection:
            number = await incarnation.begin(connection)
    while True:
        async with transaction() as connection:
            if number is None:
                rows = await accounts.page(connection, filters={}, after=after, limit=_PAGE)
            else:
                rows = await accounts.end_sessions_of_page(connection, epoch=number, after=after, limit=_PAGE)
            await accounts.publish(connection, sealer, rows)
        published += len(rows)
        if len(rows) < _PAGE:
            break
        after = rows[-1].id
        yield f"{published} accounts so far"
    async with transaction() as connection:
        deleted = await accounts.publish_tombstones(connection)
        if number is not None:
            await incarnation.complete(connection, number)
            await in_step.report(connection)
    yield f"{published} accounts and {deleted} deletions are on their way to auth"
