"""Tells the owner of an account, by mail, that somebody is at its door: once a day of each kind, whatever happens.

The daily limit is the mailbox's: it is one statement, in the transaction that writes the event.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import may_log_in
from services.auth.tables import identities, notices, outbox
from shared.database.pool import Database
from shared.messaging.events import AuthNoticeRequested, NoticeWord
from shared.messaging.outbox import add
from shared.notice_budget import AUTH_SHARE, DAY, NoticeBudget

log = structlog.get_logger()

# With a place for each word and no more, each is told once a day.
BUDGET = NoticeBudget(table=notices, share=AUTH_SHARE, reserved={"wrong_passwords": 1, "codes_off": 1})


async def tell_owner(connection: AsyncConnection, account: UUID, notice: NoticeWord) -> None:
    """Nothing happens when the mailbox has been told in the last 24 hours, or its owner may not log in anyway."""
    whose = select(identities.c.email, func.now().label("now")).where(identities.c.id == account, may_log_in())
    owner = (await connection.execute(whose)).one_or_none()
    if owner is None or not await BUDGET.claim(connection, owner.email, notice):
        return
    event = AuthNoticeRequested(
        account_id=account,
        email=owner.email,
        notice=notice,
        occurred_at=owner.now,
        expires_at=owner.now + DAY,
    )
    await add(connection, outbox, event)


class Notices:
    """Told beside the request, so that how long an answer takes does not say whether there is an account.

    If the process dies in that moment, the next occasion tells the owner.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def tell_soon(self, account: UUID, notice: NoticeWord) -> None:
        task = asyncio.create_task(self._tell(account, notice), name="notice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, account: UUID, notice: NoticeWord) -> None:
        try:
            async with self._database.transaction() as connection:
                await tell_owner(connection, account, notice)
        except (SQLAlchemyError, OSError) as error:
            log.warning("notice not asked for", notice=notice, error=type(error).__name__)

    async def close(self) -> None:
        """After the last request: wait for what is under way, which the database's own time-outs bound."""
        if self._tasks:
            await asyncio.wait(self._tasks)
