"""Account administration from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Row

from services.users import accounts, in_step, incarnation
from services.users.accounts import NewAccount, valid_email
from services.users.problems import AccountNotValid, ForceNeeded, LastAdministrator, UserAlreadyExists
from services.users.schemas import PasswordIn, RegistrationIn
from services.users.usernames import refuse_foreign
from services.users.weak_passwords import own_names, refuse_weak
from services.users.writes import Write, operating, register
from shared.database.pool import Database
from shared.names import canonical
from shared.passwords.hashing import Passwords
from shared.sealing import Sealer
from shared.web.problems import ItemNotFound

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Administration:
    """Acts are audited with the reason `operator`. An account is named by its `username`, `email` or `id`."""

    database: Database
    passwords: Passwords
    sealer: Sealer
    min_length: int = 8
    reserved_domains: bool = True

    async def create(
        self,
        *,
        email: str,
        password: str,
        name: str,
        lastname: str,
        is_2fa: bool,
        is_admin: bool,
        username: str | None = None,
    ) -> None:
        """Raises what a registration raises. `username` defaults to the address."""
        valid = _as_registered(
            reserved=self.reserved_domains,
            password=password,
            is_2fa=is_2fa,
            email=email,
            username=username,
            name=name,
            lastname=lastname,
        )
        hashed = await self._hashed(password, **valid.model_dump(include={"email", "username", "name", "lastname"}))
        new = NewAccount(**valid.model_dump(exclude={"password"}), password_hash=hashed, is_admin=is_admin)
        await register(self.database, self.sealer, new, by_operator=True)

    async def refuse_new(self, *, email: str, username: str | None, name: str, lastname: str) -> None:
        """Raises what `create` would raise, apart from its password."""
        new = _as_registered(
            reserved=self.reserved_domains,
            password="",
            is_2fa=False,
            email=email,
            username=username,
            name=name,
            lastname=lastname,
        )
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
        hashed = await self._hashed(
            password, email=row.email, username=row.username, name=row.name, lastname=row.lastname
        )
        return await self.change({"password_hash": hashed}, id=row.id)

    async def set_email(self, email: str, **named: Any) -> Row[Any]:
        """Raises `ItemNotFound`, `EmailNotValid`, `UserAlreadyExists`."""
        return await self.change({"email": valid_email(email, reserved=self.reserved_domains)}, **named)

    async def remove(self, *, force: bool = False, **named: Any) -> Row[Any]:
        """Raises `ItemNotFound`, `LastAdministrator`."""
        async with self._writing(named, force=force) as write:
            await write.remove()
        return write.row

    async def _hashed(self, password: str, **names: str) -> str:
        refuse_weak(password, own_names=own_names(**names), min_length=self.min_length)
        return await self.passwords.hash(password)

    @asynccontextmanager
    async def _writing(self, named: Mapping[str, Any], *, force: bool) -> AsyncIterator[Write]:
        row = await self.find(**named)
        try:
            async with operating(self.database, self.sealer, row.id, force=force) as write:
                yield write
        except LastAdministrator:
            raise ForceNeeded from None


def _as_registered(*, reserved: bool, email: str, username: str | None, **fields: object) -> RegistrationIn:
    email = valid_email(email, reserved=reserved)
    try:
        return RegistrationIn.model_validate({"email": email, "username": username or email, **fields})
    except ValidationError as error:
        raise _first(error) from None


def _first(error: ValidationError) -> AccountNotValid:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    told = first["msg"].removeprefix("Value error, ")
    return AccountNotValid(f"{'.'.join(map(str, first['loc']))}: {told}")


async def republish(database: Database, sealer: Sealer, *, force: bool = False) -> AsyncIterator[str]:
    """Writes all accounts to the outbox again, page by page; yields the progress. Auth ignores what is not newer than
    its own, so this rebuilds a lost read model and does not harm a good one. `force` is for a database restored from a
    backup: auth accepts everything as newer, all sessions end, and in the end auth lets in no account that is not here.
    """
    told, after = 0, None
    number = await _begin_incarnation(database) if force else None
    while True:
        async with database.transaction() as connection:
            if number is None:
                rows = await accounts.page(connection, filters={}, after=after, limit=_PAGE)
            else:
                rows = await accounts.end_sessions_of_page(connection, epoch=number, after=after, limit=_PAGE)
            await accounts.tell(connection, sealer, rows)
        told += len(rows)
        if len(rows) < _PAGE:
            break
        after = rows[-1].id
        yield f"{told} accounts so far"
    async with database.transaction() as connection:
        deleted = await accounts.tell_tombstones(connection)
        if number is not None:
            await incarnation.complete(connection, number)
            await in_step.tell(connection)
    yield f"{told} accounts and {deleted} deletions are on their way to auth"


async def _begin_incarnation(database: Database) -> int:
    async with database.transaction() as connection:
        return await incarnation.begin(connection)
