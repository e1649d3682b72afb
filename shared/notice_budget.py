"""Limits notices to one mailbox: each word once in ten minutes, and 30 a day: 13 from users, 17 from auth."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ARRAY, Column, DateTime, Index, LargeBinary, MetaData, Table, Text, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.expiry import Expired
from shared.messaging.notice_events import NoticeWord
from shared.names import email_key_hash

DAY: Final = timedelta(days=1)
_SAME_WORD: Final = timedelta(minutes=10)


def notices_table(metadata: MetaData) -> Table:
    return Table(
        "notices",
        metadata,
        Column("email_key_hash", LargeBinary, primary_key=True),
        Column("words", ARRAY(Text), nullable=False),
        Column("told_at", ARRAY(DateTime(timezone=True)), nullable=False),
        Column("last_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Index("ix_notices_last_at", "last_at"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeBudget:
    """`share`: notices a day. `reserved`: slots for one word, so that a flood of other words cannot suppress it.
    `confined`: words that strangers can cause, which get no other slots.
    """

    table: Table
    share: int
    reserved: Mapping[NoticeWord, int]
    confined: AbstractSet[NoticeWord] = frozenset()

    async def claim(self, connection: AsyncConnection, address: str, notice: NoticeWord) -> bool:
        """Whether the notice may be sent; if so it counts, once the transaction commits."""
        values = {
            "mailbox": email_key_hash(address),
            "word": notice,
            "share": self.share,
            "confined": notice in self.confined,
            "unreserved": self.share - sum(self.reserved.values()),
            "reserved_words": list(self.reserved),
            "reserved_places": list(self.reserved.values()),
            "day": DAY,
            "same_word": _SAME_WORD,
        }
        claim = text(_CLAIM.format(table=self.table.fullname))
        return (await connection.execute(claim, values)).rowcount == 1

    @property
    def expired(self) -> Expired:
        return ((self.table, self.table.c.last_at < func.now() - DAY),)


# Uses a slot reserved for the word, else a free one. The lock on the mailbox's row makes concurrent claims wait.
_CLAIM: Final = """
INSERT INTO {table} AS mailbox (email_key_hash, words, told_at, last_at)
VALUES (:mailbox, ARRAY[CAST(:word AS text)], ARRAY[now()], now())
ON CONFLICT (email_key_hash) DO UPDATE SET
    words = (CAST(:word AS text) || mailbox.words)[1:CAST(:share AS int)],
    told_at = (now() || mailbox.told_at)[1:CAST(:share AS int)],
    last_at = now()
WHERE (
    WITH told AS (
        SELECT word, count(*) AS times
        FROM unnest(mailbox.words, mailbox.told_at) AS notice(word, at)
        WHERE at > now() - CAST(:day AS interval)
        GROUP BY word
    ), counted AS (
        SELECT word, coalesce(times, 0) AS times, coalesce(places, 0) AS places
        FROM told
        FULL JOIN unnest(CAST(:reserved_words AS text[]), CAST(:reserved_places AS int[])) AS kept(word, places)
            USING (word)
    )
    SELECT coalesce(bool_or(word = :word AND times < places), false)
        OR (NOT :confined AND coalesce(sum(greatest(times - places, 0)), 0) < CAST(:unreserved AS int))
    FROM counted
) AND NOT EXISTS (
    SELECT FROM unnest(mailbox.words, mailbox.told_at) AS notice(word, at)
    WHERE word = :word AND at > now() - CAST(:same_word AS interval)
)
"""
