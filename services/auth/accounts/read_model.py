"""The read model of accounts: who may log in, as the users service last published it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import identities, in_step, sessions
from shared.database.pool import Database, after_commit
from shared.messaging.bus import Handler
from shared.messaging.events import AccountChanged
from shared.messaging.handlers import event_handler
from shared.names import canonical
from shared.sealing import Sealer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An account as users published it, with its factors in auth. `factors`: what it has enrolled, by the version
    `factors_version` of them. `login_epoch`: the session epoch of its latest login by password and a factor that is not
    mail.
    """

    id: UUID
    version: int
    username_key: str
    email: str
    password_hash: str
    is_2fa: bool
    is_active: bool
    session_epoch: int
    password_by_mail: bool
    factors_version: int
    factors: Sequence[str]
    login_epoch: int | None


def _is_of_users() -> ColumnElement[bool]:
    """Excludes accounts that a restored users database may have lost (docs/decisions/0014-in-step.md)."""
    return identities.c.incarnation >= select(in_step.c.incarnation).scalar_subquery()


def may_log_in() -> ColumnElement[bool]:
    return and_(identities.c.is_active, ~identities.c.deleted, _is_of_users())


def is_active_session(max_lifetime: timedelta) -> ColumnElement[bool]:
    """For `sessions` joined with `identities`: not ended, not expired, of the current epoch or kept."""
    same_epoch = sessions.c.epoch == identities.c.session_epoch
    kept = sessions.c.id == identities.c.kept_session
    # `expires_at` respects `max_lifetime`, unless the setting was lowered since.
    in_time = and_(sessions.c.expires_at > func.now(), sessions.c.began_at > func.now() - max_lifetime)
    return and_(sessions.c.ended_at.is_(None), in_time, may_log_in(), or_(same_epoch, kept))


_IDENTITY: Final = """
SELECT id, version, username_key, email, password_hash, is_2fa, is_active, session_epoch, password_by_mail,
    factors_version, coalesce(methods, '{}') AS factors, login_epoch
FROM auth.identities LEFT JOIN auth.factors ON account_id = id
WHERE NOT deleted AND incarnation >= (SELECT incarnation FROM auth.in_step)
"""

# Only accounts of `_is_of_users`. Two rows for one name exist until the older account's rename or deletion arrives.
OF_NAME: Final = f"{_IDENTITY} AND username_key = CAST(:username_key AS text) ORDER BY id DESC LIMIT 1"

_OF_ACCOUNT: Final = text(f"{_IDENTITY} AND id = CAST(:account AS uuid) AND is_active")


async def find_by_username(connection: AsyncConnection, username: str) -> Identity | None:
    found = await connection.execute(text(OF_NAME), {"username_key": canonical(username)})
    return identity_in(found.mappings().one_or_none())


async def find(connection: AsyncConnection, account: UUID) -> Identity | None:
    """None if the account may not log in."""
    return identity_in((await connection.execute(_OF_ACCOUNT, {"account": account})).mappings().one_or_none())


def identity_in(row: RowMapping | None) -> Identity | None:
    if row is None or row["id"] is None:
        return None
    return Identity(**{name: row[name] for name in Identity.__dataclass_fields__})


async def apply(connection: AsyncConnection, event: AccountChanged, password_hash: str) -> None:
    """Upserts a newer state; repeated and late events change nothing. A restored users database may have lost deletions
    and deactivations: a deletion is final, and an inactive account stays out until users deactivates and activates it.
    """
    values = {
        "id": event.account_id,
        "incarnation": event.incarnation,
        "version": event.version,
        "deleted": event.deleted,
        "username_key": canonical(event.username),
        "email": event.email,
        "password_hash": password_hash,
        "is_2fa": event.is_2fa,
        "is_admin": event.is_admin,
        "is_active": event.is_active,
        "email_verified": event.email_verified,
        "groups": list(event.groups),
        "password_by_mail": event.password_by_mail,
        "session_epoch": event.session_epoch,
        "kept_session": event.kept_session,
        "applied_at": func.now(),
    }
    upsert = insert(identities).values(values)
    new, old = upsert.excluded, identities.c
    forgotten = and_(~old.is_active, old.incarnation < new.incarnation)
    locked_out = and_(new.is_active, or_(old.locked_out, forgotten))
    upsert = upsert.on_conflict_do_update(
        index_elements=["id"],
        set_=values | {"is_active": and_(new.is_active, ~locked_out), "locked_out": locked_out},
        where=and_(tuple_(old.incarnation, old.version) < tuple_(new.incarnation, new.version), ~old.deleted),
    )
    await connection.execute(upsert)


def account_changed_handler(
    database: Database, sealer: Sealer, follow: Callable[[AsyncConnection, AccountChanged], Awaitable[None]]
) -> Handler:
    """`follow`: in the same transaction, after the change."""

    async def apply_opened(connection: AsyncConnection, event: AccountChanged) -> None:
        password_hash = ""
        if not event.deleted:
            password_hash = sealer.open(event.sealed_password_hash, event.hash_context)
        await apply(connection, event, password_hash)
        await follow(connection, event)
        report = partial(log.info, "account applied", account=str(event.account_id), version=event.version)
        after_commit(connection, report)

    return event_handler(database, AccountChanged, apply_opened)
