"""What an operator does to accounts from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import ValidationError

from services.users import accounts, audit, in_step, incarnation
from services.users.accounts import NewAccount, valid_email
from services.users.problems import AccountNotValid
from services.users.schemas import RegistrationIn
from services.users.weak_passwords import own_names, refuse_weak
from shared.database import Database
from shared.passwords import Passwords
from shared.sealing import Sealer

_PAGE = 500


async def create(
    database: Database,
    passwords: Passwords,
    sealer: Sealer,
    *,
    email: str,
    password: str,
    name: str,
    lastname: str,
    is_2fa: bool,
    is_admin: bool,
    username: str | None = None,
    min_length: int = 8,
) -> None:
    """Raises what a registration is refused for, as a `Problem`. The username is the address unless given."""
    email = valid_email(email)
    given = {"email": email, "username": username or email, "name": name, "lastname": lastname}
    valid = _as_registered(password=password, is_2fa=is_2fa, **given)
    names = own_names(email=email, username=valid.username, name=valid.name, lastname=valid.lastname)
    refuse_weak(password, own_names=names, min_length=min_length)
    new = NewAccount(
        **valid.model_dump(exclude={"password"}), password_hash=await passwords.hash(password), is_admin=is_admin
    )
    async with database.transaction() as connection:
        row = await accounts.create(connection, sealer, new)
        await audit.record_creation(connection, row, by_operator=True)


def _as_registered(**fields: object) -> RegistrationIn:
    """Raises `AccountNotValid`."""
    try:
        return RegistrationIn.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        told = first["msg"].removeprefix("Value error, ")
        raise AccountNotValid(f"{'.'.join(map(str, first['loc']))}: {told}") from None


async def republish(database: Database, sealer: Sealer, *, force: bool = False) -> AsyncIterator[str]:
    """Write the state of every account to the outbox once more, page by page; yields the progress.

    Auth keeps what is as new as its own, so this rebuilds a lost read model and harms a good one nothing. With `force`
    auth takes what it is told for newer than all it knows: for a database that was restored from an older backup. All
    sessions end with that, and in the end auth lets in no account that is not here.
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
