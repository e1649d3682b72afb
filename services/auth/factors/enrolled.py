"""Changes of the factors of an account. Each raises their version: users learns the new ones, and the account's other
sessions, its trusted devices and its open challenges end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import is_active_session, may_log_in
from services.auth.sessions.ending import end_sessions
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, factors, identities, outbox, sessions, trail
from shared.audit_words import Act, Reason
from shared.messaging.events import AccountChanged
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.notice_events import NoticeWord
from shared.messaging.outbox import add
from shared.tokens.access import AccessToken
from shared.web.bearer import TokenNotValid

_HANDLE_BYTES = 32

# Recovery codes of an account without a second factor: they would open its next ones.
_LEFT_OVER: Final = """account_id = :account AND id = :account AND NOT is_2fa
        AND NOT EXISTS (SELECT FROM auth.passkeys WHERE account_id = :account)
        AND NOT EXISTS (SELECT FROM auth.totp WHERE account_id = :account AND confirmed_at IS NOT NULL)"""
_ARE_LEFT_OVER: Final = text(
    f"SELECT account_id FROM auth.recovery_codes, auth.identities WHERE {_LEFT_OVER} LIMIT 1"  # noqa: S608 - constants
)

# A restored database begins with an old version; the clock makes the next one higher than all that were published.
_CHANGED: Final = text(
    f"""
WITH left_over AS (
    DELETE FROM auth.recovery_codes USING auth.identities
    WHERE {_LEFT_OVER}
    RETURNING account_id
), over AS (
    UPDATE auth.challenges SET expires_at = now() WHERE account_id = :account AND expires_at > now()
), forgotten AS (
    DELETE FROM auth.trusted_devices WHERE account_id = :account
), raised AS (
    UPDATE auth.identities SET factors_version =
        greatest(factors_version + 1, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint))
    WHERE id = :account
    RETURNING factors_version
)
INSERT INTO auth.factors AS old (account_id, user_handle, methods)
SELECT CAST(:account AS uuid), CAST(:handle AS bytea),
    array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT FROM auth.passkeys WHERE account_id = :account) THEN 'passkey' END,
        CASE WHEN EXISTS (SELECT FROM auth.totp WHERE account_id = :account AND confirmed_at IS NOT NULL)
            THEN 'totp' END,
        CASE WHEN NOT EXISTS (SELECT FROM left_over)
            AND EXISTS (SELECT FROM auth.recovery_codes WHERE account_id = :account AND used_at IS NULL)
            THEN 'recovery' END
    ], NULL)
ON CONFLICT (account_id) DO UPDATE SET methods = excluded.methods
RETURNING (SELECT factors_version FROM raised), methods, now()
"""  # noqa: S608 - made of constants alone
)

_HANDLE: Final = text(
    """
INSERT INTO auth.factors AS old (account_id, user_handle) VALUES (:account, :handle)
ON CONFLICT (account_id) DO UPDATE SET user_handle = old.user_handle
RETURNING user_handle
"""
)

# In one statement, so that none of them outlives the account.
_EMPTIED: Final = """
WITH totp AS (DELETE FROM auth.totp WHERE account_id = :account),
    passkeys AS (DELETE FROM auth.passkeys WHERE account_id = :account),
    codes AS (DELETE FROM auth.recovery_codes WHERE account_id = :account),
    devices AS (DELETE FROM auth.trusted_devices WHERE account_id = :account)
"""
_FORGET: Final = text(f"{_EMPTIED} DELETE FROM auth.factors WHERE account_id = :account")  # noqa: S608 - constants
_EMPTY: Final = text(
    f"{_EMPTIED} UPDATE auth.factors SET recovery_salt = NULL, recovery_made_at = NULL"  # noqa: S608 - constants
    " WHERE account_id = :account"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`kept`: the session that goes on, the one that asked for the change; None ends all."""

    account: UUID
    act: Act
    notice: NoticeWord
    reason: Reason | None = None
    actor: UUID | None = None
    kept: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """`access_lifetime`: seconds that access tokens of ended sessions may yet live."""

    notices: Notices
    access_lifetime: int
    session_lifetime: timedelta

    @classmethod
    def of(cls, settings: AuthSettings, notices: Notices) -> Enrolled:
        longest = timedelta(seconds=settings.session_max_lifetime)
        return cls(notices=notices, access_lifetime=settings.access_token_lifetime, session_lifetime=longest)

    async def lock(self, connection: AsyncConnection, account: UUID) -> None:
        """First statement of each change: no factor is born after the account's deletion. Raises `TokenNotValid`."""
        found = select(identities.c.id).where(identities.c.id == account, may_log_in()).with_for_update()
        if (await connection.execute(found)).one_or_none() is None:
            raise TokenNotValid
        await lock_challenges(connection, account)

    async def lock_for(self, connection: AsyncConnection, owner: AccessToken) -> None:
        """The same where a factor is added or removed. The session may have ended while this waited, by a reset or by a
        change in another session, which would not reach what is added now. Raises `TokenNotValid`.
        """
        await self.lock(connection, owner.account)
        # A statement of its own: that which waited does not see what ended meanwhile.
        active = select(sessions.c.id).join(identities, identities.c.id == sessions.c.account_id)
        active = active.where(sessions.c.id == owner.session, is_active_session(self.session_lifetime))
        if (await connection.execute(active)).one_or_none() is None:
            raise TokenNotValid

    async def changed(self, connection: AsyncConnection, change: Change) -> None:
        """Last statement of each change."""
        account = change.account
        await self.raise_version(connection, account)
        # After the challenges: a login that was under way has begun its session by now, or will not.
        others = sessions.c.id != change.kept if change.kept is not None else true()
        await end_sessions(connection, and_(sessions.c.account_id == account, others), self.access_lifetime)
        await trail.record(
            connection, change.act, reason=change.reason, account=account, actor=change.actor, session=change.kept
        )
        await self.notices.tell_owner(connection, account, change.notice)

    async def raise_version(self, connection: AsyncConnection, account: UUID) -> None:
        """A part of `changed`: devices and open challenges end, and users is told; sessions go on."""
        await _raise_version(connection, account)

    async def user_handle(self, connection: AsyncConnection, account: UUID) -> bytes:
        """The `user.id` of all passkeys of the account; call `lock` before."""
        values = {"account": account, "handle": os.urandom(_HANDLE_BYTES)}
        handle: bytes = (await connection.execute(_HANDLE, values)).scalar_one()
        return handle


async def lock_challenges(connection: AsyncConnection, account: UUID) -> None:
    """A login locks its challenge, then its factor: a change that went the other way round would deadlock with it."""
    of_account = (challenges.c.account_id == account, challenges.c.expires_at > func.now())
    await connection.execute(select(challenges.c.id).where(*of_account).order_by(challenges.c.id).with_for_update())


async def forget(connection: AsyncConnection, account: UUID) -> None:
    """Deletes all factors and devices of the account."""
    await connection.execute(_FORGET, {"account": account})


async def empty(connection: AsyncConnection, account: UUID) -> None:
    """Deletes the same, of an account that stays: the version goes on, and the user handle, by which an authenticator
    puts a new passkey in the place of the old one.
    """
    await connection.execute(_EMPTY, {"account": account})


async def follow(connection: AsyncConnection, event: AccountChanged) -> None:
    """Deletes what a deleted account had, and recovery codes that a second factor by mail has left; else tells users
    again, who may have lost it in a restore.
    """
    if event.deleted:
        await forget(connection, event.account_id)
        return
    if (await connection.execute(_ARE_LEFT_OVER, {"account": event.account_id})).one_or_none() is not None:
        await lock_challenges(connection, event.account_id)
        await _raise_version(connection, event.account_id)
        return
    version = identities.c.factors_version
    query = (
        select(version, factors.c.methods, func.now())
        .join(factors, factors.c.account_id == identities.c.id)
        .where(identities.c.id == event.account_id, version > 0)
    )
    if (known := (await connection.execute(query)).one_or_none()) is not None:
        await _publish(connection, event.account_id, *known)


async def _raise_version(connection: AsyncConnection, account: UUID) -> None:
    values = {"account": account, "handle": os.urandom(_HANDLE_BYTES)}
    await _publish(connection, account, *(await connection.execute(_CHANGED, values)).one())


async def _publish(
    connection: AsyncConnection, account: UUID, version: int, methods: Sequence[Any], now: datetime
) -> None:
    event = FactorsChanged(account_id=account, version=version, methods=tuple(methods), occurred_at=now)
    await add(connection, outbox, event)
