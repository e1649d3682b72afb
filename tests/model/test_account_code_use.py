"""An account code is used once, however the statements of several clients come to stand on Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from unittest.mock import patch

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import codes as account_codes
from services.users.codes import Codes, RightCode
from services.users.tables import codes
from tests.composed import Keys, keys
from tests.model.account_code_use import SETTINGS, AccountCodeUse
from tests.model.known_bad import KnownBad
from tests.model.postgres import users_on_postgres
from tests.model.walks import found, holds
from tests.servers.databases import Databases

__all__ = ("keys",)

OPEN, ENDS_ALL = "expires_at > clock_timestamp()", "UPDATE users.codes SET used_at = clock_timestamp() WHERE "


class ReadsThenWrites(Codes):
    """Looks whether the code is there, and then writes down that it is used."""

    async def use(self, connection: AsyncConnection, right: RightCode) -> datetime | None:
        of = right.asked
        same = (codes.c.purpose == of.purpose, codes.c.email_key_hash == of.mailbox, codes.c.account_id == of.account)
        good = select(codes.c.id).where(*same, codes.c.code_mac.in_(right.macs), codes.c.used_at.is_(None))
        if (await connection.execute(good)).first() is None:
            return None
        await connection.execute(update(codes).where(*same).values(used_at=func.clock_timestamp()))
        return datetime.min  # noqa: DTZ901 - any moment does: nothing compares it


@contextmanager
def _changed(old: str, new: str, *statements: str) -> Iterator[None]:
    with ExitStack() as parts:
        for name in statements:
            written: str = getattr(account_codes, name).text
            assert old in written
            parts.enter_context(patch.object(account_codes, name, text(written.replace(old, new))))
        yield


def _used_otherwise() -> AbstractContextManager[object]:
    return patch.object(AccountCodeUse, "make", ReadsThenWrites)


KNOWN_BAD = (
    KnownBad("use reads then writes", {"I5"}, _used_otherwise),
    KnownBad("expiry ignored", {"I5"}, lambda: _changed(OPEN, "true", "OPEN", "COUNT_IF_WRONG", "USE")),
    KnownBad(
        "the other codes stay good",
        {"I5"},
        lambda: _changed(ENDS_ALL, f"{ENDS_ALL} code_mac = ANY (CAST(:macs AS bytea[])) AND ", "USE"),
    ),
)
HARD_TO_FIND = (
    KnownBad("wrong codes do not count", {"I5"}, lambda: _changed("attempts + 1", "attempts + 0", "COUNT_IF_WRONG")),
    KnownBad("tries do not wait for each other", {"I5"}, lambda: _changed("FOR UPDATE", "", "OPEN")),
)


@pytest.fixture(autouse=True)
def _users(databases: Databases, keys: Keys) -> Iterator[None]:
    with users_on_postgres(databases, keys, **SETTINGS) as AccountCodeUse.users:
        yield


def test_no_order_of_statements_uses_a_code_twice_or_tries_too_many() -> None:
    holds(AccountCodeUse, walks=30)


@pytest.mark.long
def test_no_order_of_statements_does_on_many_walks() -> None:
    holds(AccountCodeUse, walks=500)


@pytest.mark.parametrize(
    "variant",
    [*KNOWN_BAD, *(pytest.param(each, marks=pytest.mark.long) for each in HARD_TO_FIND)],
    ids=lambda variant: variant.name,
)
def test_the_same_walks_find_the_mistake_in_account_codes_where(variant: KnownBad) -> None:
    with variant.switched_on():
        violated = found(AccountCodeUse, walks=800)

    assert violated is not None
    assert violated.invariant in variant.breaks, str(violated)
