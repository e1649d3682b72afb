"""Reads the accounts behind access tokens, at each request; concurrent requests share one read."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Row, Uuid, bindparam, column, func, select

from services.users.ended_sessions import has_ended
from services.users.tables import accounts
from shared.database.batched_reads import BatchedReads
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.tokens.access import AccessToken

_UUIDS: Final = ARRAY(Uuid)

# One pair per token: an ended session must not affect another token's account.
_ASKED: Final = (
    func.unnest(bindparam("accounts", type_=_UUIDS), bindparam("sessions", type_=_UUIDS))
    .table_valued(column("account_id", Uuid), column("session_id", Uuid))
    .render_derived(name="asked")
)

# One text for any number of pairs, built once: building costs as much as the query.
_KNOWN: Final = Prepared(
    select(accounts, _ASKED.c.session_id)
    .join_from(_ASKED, accounts, accounts.c.id == _ASKED.c.account_id)
    .where(~has_ended(_ASKED.c.session_id))
)


def is_of_session(account: Row[Any], token: AccessToken) -> bool:
    return bool(token.epoch == account.session_epoch or token.session == account.kept_session)


class KnownAccounts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = BatchedReads(self._read)

    async def behind(self, token: AccessToken) -> Row[Any] | None:
        """None if the account is gone or the session has ended."""
        account = await self._reads.get((token.account, token.session))
        return account if account is not None and is_of_session(account, token) else None

    async def _read(self, asked: AbstractSet[tuple[UUID, UUID]]) -> Mapping[tuple[UUID, UUID], Row[Any]]:
        owners, sessions = zip(*asked, strict=True)
        rows = await _KNOWN.run(self._database, {"accounts": list(owners), "sessions": list(sessions)})
        return {(row.id, row.session_id): row for row in rows}
