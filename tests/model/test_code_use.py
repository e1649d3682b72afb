"""A code is used once, however the statements of several clients come to stand on Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.challenge_statements import is_open, verify_code
from services.auth.factors.challenges import Challenges, Verified
from services.auth.factors.codes import Codes
from services.auth.settings import AuthSettings
from services.auth.tables import challenges
from tests.composed import Keys, keys
from tests.model.code_use import ATTEMPTS, SETTINGS, CodeUse
from tests.model.postgres import auth_on_postgres
from tests.model.walks import found, holds
from tests.servers.databases import Databases

__all__ = ("keys",)


class ReadsThenWrites(Challenges):
    """Looks whether the code is right, and then writes down that it was tried."""

    async def verify(self, connection: AsyncConnection, challenge_id: UUID, code: str) -> Verified | None:
        this = challenges.c.id == challenge_id
        row = (await connection.execute(select(challenges).where(this, is_open(ATTEMPTS)))).one_or_none()
        if row is None:
            return None
        right = row.code_mac in self._codes.macs(challenge_id, code)
        used_at = func.clock_timestamp() if right else None
        await connection.execute(update(challenges).where(this).values(attempts=row.attempts + 1, used_at=used_at))
        return Verified(account=row.account_id, epoch=row.epoch) if right else None


class IgnoresTheExpiry(Challenges):
    def __init__(self, settings: AuthSettings, codes: Codes) -> None:
        super().__init__(settings, codes)
        still_open = and_(challenges.c.used_at.is_(None), challenges.c.attempts < ATTEMPTS)
        self._verify_code = verify_code(codes.wrong.counted(), still_open)


@pytest.fixture(autouse=True)
def _auth(databases: Databases, keys: Keys) -> Iterator[None]:
    with auth_on_postgres(databases, keys, **SETTINGS) as CodeUse.auth:
        yield


def test_no_order_of_statements_uses_a_code_twice_or_tries_too_many() -> None:
    holds(CodeUse, walks=30)


@pytest.mark.long
def test_no_order_of_statements_does_on_many_walks() -> None:
    holds(CodeUse, walks=500)


@pytest.mark.parametrize("variant", [ReadsThenWrites, IgnoresTheExpiry])
def test_the_same_walks_find_the_mistake_in_a_challenge_that(variant: type[Challenges]) -> None:
    with patch.object(CodeUse, "make", variant):
        violated = found(CodeUse, walks=400)

    assert violated is not None
    assert violated.invariant == "I5", str(violated)
