"""Accounts. Every change raises the version and writes the whole new state to the outbox, in one transaction."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_pass
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.users import account_events, account_factors, incarnation
from services.users.problems import EmailNotValid, LastAdministrator, UserAlreadyExists
from services.users.tables import accounts, outbox, tombstones
from services.users.usernames import followed, refuse_foreign
from shared.mail_address import AddressInvalid, one_address
from shared.messaging.outbox import add
from shared.names import canonical
from shared.sealing import Sealer

# A change of any of these ends all sessions of the account, except the one that made the change.
_ENDS_SESSIONS = {"password_hash", "is_2fa", "email", "is_active"}

# Versions are in entity tags: one that a client has from after the backup must not name another state.
_RESTORED: Final = 2**20

# Advisory lock number; any that nothing else in this database uses.
_ADMINISTRATORS_LOCK: Final = 0x4C32_4641


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    email: str
    username: str
    name: str
    lastname: str
    password_hash: str
    is_2fa: bool
    is_admin: bool = False
    groups: Sequence[str] = ()
    email_verified_at: datetime | None = None


async def create(connection: AsyncConnection, sealer: Sealer, new: NewAccount) -> Row[Any]:
    """Raises `UserAlreadyExists`, `UsernameNotOwn`."""
    refuse_foreign(new.username, email=new.email)
    statement = insert(accounts).values(id=uuid7(), **_with_keys(asdict(new))).returning(accounts)
    return await _write(connection, sealer, statement)


async def create_several(
    connection: AsyncConnection, sealer: Sealer, values: Sequence[Mapping[str, Any]]
) -> Sequence[Row[Any]]:
    """Of columns of an account. Passes over those whose email or username has been taken meanwhile."""
    statement = insert_or_pass(accounts).on_conflict_do_nothing().returning(accounts)
    made = await connection.execute(statement, [{"id": uuid7(), **_with_keys(each)} for each in values])
    rows: Sequence[Row[Any]] = made.all()
    await publish(connection, sealer, rows)
    return rows


async def find(connection: AsyncConnection, account: UUID) -> Row[Any] | None:
    return (await connection.execute(select(accounts).where(accounts.c.id == account))).one_or_none()


async def find_by_email(connection: AsyncConnection, email: str) -> Row[Any] | None:
    query = select(accounts).where(accounts.c.email_key == canonical(email))
    return (await connection.execute(query)).one_or_none()


async def lock(connection: AsyncConnection, *ids: UUID) -> dict[UUID, Row[Any]]:
    """Returns those that exist, locked in order of id, so that concurrent requests do not deadlock."""
    query = select(accounts).where(accounts.c.id.in_(ids)).order_by(accounts.c.id).with_for_update()
    return {row.id: row for row in await connection.execute(query)}


async def change(
    connection: AsyncConnection,
    sealer: Sealer,
    row: Row[Any],
    changes: Mapping[str, Any],
    *,
    by_session: UUID | None,
    force: bool = False,
) -> Row[Any]:
    """`row` is from `lock`. Another spelling of its address is no change. Raises `UserAlreadyExists`, `UsernameNotOwn`,
    `LastAdministrator` (unless `force`).
    """
    if canonical(changes.get("email", "")) == row.email_key:
        changes = {name: value for name, value in changes.items() if name != "email"}
    changes = _completed(followed(changes, username=row.username, email=row.email))
    moved = {name: value for name, value in _with_keys(changes).items() if getattr(row, name) != value}
    if not moved:
        return row
    if not force:
        await _keep_an_administrator(connection, row, moved)
    if _ENDS_SESSIONS & moved.keys():
        moved |= {"session_epoch": row.session_epoch + 1, "kept_session": by_session}
    statement = (
        update(accounts)
        .values(version=row.version + 1, modified_at=func.now(), **moved)
        .where(accounts.c.id == row.id)
        .returning(accounts)
    )
    return await _write(connection, sealer, statement)


async def replace_hash(connection: AsyncConnection, sealer: Sealer, row: Row[Any], password_hash: str) -> Row[Any]:
    """Another hash of the same password: sessions go on. `row` is from `lock`."""
    moved = {"version": row.version + 1, "password_hash": password_hash}
    statement = update(accounts).values(moved).where(accounts.c.id == row.id).returning(accounts)
    return await _write(connection, sealer, statement)


async def remove(connection: AsyncConnection, row: Row[Any], *, force: bool = False) -> datetime:
    """Returns the time. `row` is from `lock`. Raises `LastAdministrator`, unless `force`."""
    if not force:
        await _keep_an_administrator(connection, row, {"is_active": False})
    version = row.version + 1
    number = await incarnation.present(connection)
    await connection.execute(delete(accounts).where(accounts.c.id == row.id))
    buried = insert(tombstones).values(id=row.id, version=version).returning(tombstones.c.deleted_at)
    deleted_at: datetime = (await connection.execute(buried)).scalar_one()
    await add(connection, outbox, *account_events.deleted(row.id, number, version))
    return deleted_at


async def page(
    connection: AsyncConnection, *, filters: Mapping[str, Any], after: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    query = select(accounts).order_by(accounts.c.id).limit(limit)
    for name, value in filters.items():
        query = query.where(_matches(name, value))
    if after is not None:
        query = query.where(accounts.c.id > after)
    return (await connection.execute(query)).all()


def _matches(name: str, value: Any) -> ColumnElement[bool]:
    if name == "second_factor":
        return account_factors.having(value)
    column = accounts.c[name]
    return column.contains(value) if name == "groups" else column == value


async def end_sessions_of_page(
    connection: AsyncConnection, *, epoch: int, after: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Ends all sessions of the next page. `epoch` exceeds every earlier one, also those that a restore has lost."""
    some = select(accounts.c.id).order_by(accounts.c.id).limit(limit).with_for_update()
    if after is not None:
        some = some.where(accounts.c.id > after)
    ended = (
        update(accounts)
        .values(
            version=accounts.c.version + _RESTORED,
            session_epoch=func.greatest(accounts.c.session_epoch + 1, epoch),
            kept_session=None,
        )
        .where(accounts.c.id.in_(some))
        .returning(accounts)
    )
    return sorted((await connection.execute(ended)).all(), key=lambda row: row.id)


async def publish(connection: AsyncConnection, sealer: Sealer, rows: Sequence[Row[Any]]) -> None:
    number = await incarnation.present(connection)
    events = [event for row in rows for event in account_events.changed(row, number, sealer)]
    await add(connection, outbox, *events)


async def publish_tombstones(connection: AsyncConnection) -> int:
    number = await incarnation.present(connection)
    rows = (await connection.execute(select(tombstones))).all()
    for row in rows:
        await add(connection, outbox, *account_events.deleted(row.id, number, row.version))
    return len(rows)


def valid_email(address: str, *, reserved: bool = True) -> str:
    """Returns the normalised address; `reserved`: accepts reserved domains. Raises `EmailNotValid`."""
    try:
        return one_address(unicodedata.normalize("NFKC", address), reserved=reserved, strict=True)
    except AddressInvalid:
        raise EmailNotValid from None


async def _keep_an_administrator(connection: AsyncConnection, row: Row[Any], changes: Mapping[str, Any]) -> None:
    """Raises `LastAdministrator` if `changes` leave no active one. The lock orders two who demote themselves at once;
    its holder waits for no row, so there is no deadlock.
    """
    after = {"is_admin": row.is_admin, "is_active": row.is_active, **changes}
    if not (row.is_admin and row.is_active) or (after["is_admin"] and after["is_active"]):
        return
    await connection.execute(select(func.pg_advisory_xact_lock(_ADMINISTRATORS_LOCK)))
    # A separate statement: it sees what was committed during the wait.
    others = select(func.count()).where(accounts.c.is_admin, accounts.c.is_active, accounts.c.id != row.id)
    if not (await connection.execute(others)).scalar_one():
        raise LastAdministrator


def _completed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Another address is not proved yet, nor is one pending for it; another password did not come by mail."""
    of_email = {"email_verified_at": None, "pending_email": None} if "email" in changes else {}
    of_password = {"password_by_mail": False} if "password_hash" in changes else {}
    return {**of_email, **of_password, **changes}


def _with_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    keys = {f"{name}_key": canonical(values[name]) for name in ("email", "username") if name in values}
    return {**values, **keys}


async def _write(connection: AsyncConnection, sealer: Sealer, statement: Any) -> Row[Any]:
    try:
        row: Row[Any] = (await connection.execute(statement)).one()
    except IntegrityError as error:
        # The only constraints that a request can break are the two unique names.
        raise UserAlreadyExists from error
    await add(connection, outbox, *account_events.changed(row, await incarnation.present(connection), sealer))
    return row


async def now(connection: AsyncConnection) -> datetime:
    moment: datetime = (await connection.execute(select(func.now()))).scalar_one()
    return moment


def etag(row: Row[Any]) -> str:
    """Names the factors too: they are part of what is shown, and auth changes them without a new `version`."""
    return f'"{row.version}.{row.factors_version}"' if row.factors_version else f'"{row.version}"'
