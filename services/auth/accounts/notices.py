"""Mails the owner of an account about wrong passwords and codes, and about its second factors."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog
from sqlalchemy import func, select, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import may_log_in
from services.auth.settings import AuthSettings
from services.auth.tables import identities, notices, outbox
from shared.database.pool import Database
from shared.messaging.notice_events import AuthNoticeRequested, NoticeWord
from shared.messaging.outbox import add
from shared.notice_budget import DAY, NoticeBudget

log = structlog.get_logger()

# Notices of each kind that a mailbox gets in a day. The whole share is reserved: no kind takes the place of another.
# Two of what an owner may have done on the same day as a thief.
_A_DAY: dict[NoticeWord, int] = {
    "wrong_passwords": 1,
    "codes_off": 1,
    "totp_added": 2,
    "totp_removed": 2,
    "passkey_added": 2,
    "passkey_removed": 2,
    "passkey_cloned": 1,
    "recovery_codes_made": 2,
    "recovery_code_used": 3,
    "factors_reset": 1,
}
BUDGET = NoticeBudget(table=notices, share=sum(_A_DAY.values()), reserved=_A_DAY)


class Notices:
    """Only for addresses that are proved, unless EMAIL_VERIFICATION is off: a mailbox may be a stranger's."""

    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        proved = true() if settings.email_verification == "off" else identities.c.email_verified
        self._owner = select(identities.c.email, func.now().label("now")).where(may_log_in(), proved)
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell_owner(
        self,
        connection: AsyncConnection,
        account: UUID,
        notice: NoticeWord,
        *,
        recovery_codes_left: int | None = None,
    ) -> None:
        owner = (await connection.execute(self._owner.where(identities.c.id == account))).one_or_none()
        if owner is None or not await BUDGET.claim(connection, owner.email, notice):
            return
        event = AuthNoticeRequested(
            account_id=account,
            email=owner.email,
            notice=notice,
            recovery_codes_left=recovery_codes_left,
            occurred_at=owner.now,
            expires_at=owner.now + DAY,
        )
        await add(connection, outbox, event)

    def tell_soon(self, account: UUID, notice: NoticeWord) -> None:
        """Writes it in the background: response times reveal no account. A crash may lose it."""
        task = asyncio.create_task(self._notify(account, notice), name="notice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self, account: UUID, notice: NoticeWord) -> None:
        try:
            async with self._database.transaction() as connection:
                await self.tell_owner(connection, account, notice)
        except (SQLAlchemyError, OSError) as error:
            log.warning("notice not asked for", notice=notice, error=type(error).__name__)

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
