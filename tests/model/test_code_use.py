"""A code is used once, however the statements of several clients come to stand on Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.challenge_statements import attempt, is_open
from services.auth.factors.challenges import Challenges
from services.auth.factors.codes import Codes
from services.auth.factors.proofs import Attempt, Proof
from services.auth.settings import AuthSettings
from services.auth.tables import challenges
from tests.composed import Keys, keys
from tests.model.code_use import ATTEMPTS, SETTINGS, CodeUse
from tests.model.postgres import auth_on_postgres
from tests.model.walks import found, holds
from tests.servers.databases import Databases

__all__ = ("keys",)


class ReadsThenWrites(Challenges):
    """Looks whether the proof is right, and then writes down that it was tried."""

    async def attempt(self, connection: AsyncConnection, challenge_id: UUID, proof: Proof) -> Attempt | None:
        this = challenges.c.id == challenge_id
        row = (await connection.execute(select(challenges).where(this, is_open(ATTEMPTS)))).one_or_none()
        if row is None:
            return None
        found = Attempt(
            challenge=challenge_id, account=row.account_id, epoch=row.epoch, session=None, code_mac=row.code_mac,
            email="", email_verified=True, password_by_mail=False, now=row.created_at,
        )  # fmt: skip
        right = await proof.holds(connection, found)
        used_at = func.clock_timestamp() if right else None
        await connection.execute(update(challenges).where(this).values(attempts=row.attempts + 1, used_at=used_at))
        return found if right else None


class IgnoresTheExpiry(Challenges):
    def __init__(self, settings: AuthSettings, codes: Codes) -> None:
        super().__init__(settings, codes)
        still_open = and_(challenges.c.used_at.is_(None), challenges.c.attempts < ATTEMPTS)
        self._attempt = {True: attempt(still_open, codes.wrong.counted()), False: attempt(still_open, None)}


class CountsMailedCodesAlone(Challenges):
    """Codes of an app have attempts of their own, as many as they like."""

    async def attempt(self, connection: AsyncConnection, challenge_id: UUID, proof: Proof) -> Attempt | None:
        found = await super().attempt(connection, challenge_id, proof)
        if proof.method == "totp":
            less = update(challenges).values(attempts=func.greatest(challenges.c.attempts - 1, 0))
            await connection.execute(less.where(challenges.c.id == challenge_id))
        return found


@pytest.fixture(autouse=True)
def _auth(databases: Databases, keys: Keys) -> Iterator[None]:
    with auth_on_postgres(databases, keys, **SETTINGS) as CodeUse.auth:
        yield


def test_no_order_of_statements_uses_a_code_twice_or_tries_too_many() -> None:
    holds(CodeUse, walks=30)


@pytest.mark.long
def test_no_order_of_statements_does_on_many_walks() -> None:
    holds(CodeUse, walks=500)


@pytest.mark.parametrize("variant", [ReadsThenWrites, IgnoresTheExpiry, CountsMailedCodesAlone])
def test_the_same_walks_find_the_mistake_in_a_challenge_that(variant: type[Challenges]) -> None:
    with patch.object(CodeUse, "make", variant):
        violated = found(CodeUse, walks=400)

    assert violated is not None
    assert violated.invariant == "I5", str(violated)
