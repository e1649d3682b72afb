"""S47: an account code proves one mailbox, for one purpose, once, within its time and five wrong tries."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any, get_args
from uuid import UUID

import asyncpg
import pytest

from services.users.codes import Codes, RightCode, Wanted
from shared.long_codes import ALPHABET, LENGTH, new_code
from shared.messaging.address_events import CodePurpose
from tests.builders import registered
from tests.composed import USERS, UsersApp
from tests.integration.users.conftest import SentCodes, bus, sent, sql

__all__ = ("bus", "sent", "sql")

PURPOSES: tuple[CodePurpose, ...] = get_args(CodePurpose)
MAILBOX = "ada@example.org"


async def request(users: UsersApp, purpose: CodePurpose, email: str = MAILBOX, account: UUID | None = None) -> UUID:
    async with users.parts.database.transaction() as connection:
        wanted = Wanted(purpose=purpose, email=email, account=account)
        return await users.parts.codes.request(connection, wanted, is_limited=False)


async def compare(users: UsersApp, asked: UUID, purpose: CodePurpose, code: str) -> RightCode | None:
    async with users.parts.database.transaction() as connection:
        return await users.parts.codes.compare(connection, asked, purpose, code)


async def use(users: UsersApp, right: RightCode) -> bool:
    async with users.parts.database.transaction() as connection:
        return await users.parts.codes.use(connection, right) is not None


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_of_fifty_who_use_one_code_at_once_one_does(
    users_app: UsersApp, sent: SentCodes, purpose: CodePurpose
) -> None:
    asked = await request(users_app, purpose)
    code = await sent.latest(MAILBOX, purpose)

    async def attempt() -> bool:
        right = await compare(users_app, asked, purpose, code)
        return right is not None and await use(users_app, right)

    assert Counter(await asyncio.gather(*(attempt() for _ in range(50))))[True] == 1
    assert not await attempt()


async def test_of_fifty_wrong_codes_at_once_five_are_compared_and_then_the_right_one_is_wrong(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    asked = await request(users_app, "reset")
    wrong = await asyncio.gather(*(compare(users_app, asked, "reset", "0" * LENGTH) for _ in range(50)))
    assert wrong == [None] * 50
    assert await sql.fetchval("SELECT attempts FROM codes") == 5
    assert await compare(users_app, asked, "reset", await sent.latest(MAILBOX, "reset")) is None


@pytest.mark.parametrize("of", ["purpose", "mailbox", "account"])
async def test_a_code_of_another_purpose_mailbox_or_account_is_wrong(
    users_app: UsersApp, sent: SentCodes, of: str
) -> None:
    one, other = await registered(users_app.parts), await registered(users_app.parts)
    asked = await request(users_app, "verify", account=one.id)
    foreign: dict[str, Any] = {
        "purpose": {"purpose": "change", "account": one.id},
        "mailbox": {"purpose": "verify", "account": one.id, "email": "eve@example.org"},
        "account": {"purpose": "verify", "account": other.id},
    }
    await request(users_app, **foreign[of])
    code = (await sent.all(foreign[of].get("email", MAILBOX), foreign[of]["purpose"]))[-1]
    assert await compare(users_app, asked, "verify", code) is None


async def test_the_code_of_one_address_proves_no_other_that_is_asked_for_meanwhile(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = await registered(users_app.parts)
    session = users_app.as_(thief.id)
    await users_app.http.patch(f"{USERS}/", headers=session, json={"email": MAILBOX})
    compare = Codes.compare

    async def and_another_is_asked_for(self: Codes, *asked: Any) -> RightCode | None:
        right = await compare(self, *asked)
        await sql.execute("UPDATE accounts SET pending_email = 'victim@example.org'")
        return right

    monkeypatch.setattr(Codes, "compare", and_another_is_asked_for)
    body = {"code": await sent.latest(MAILBOX, "change")}
    answer = await users_app.http.post(f"{USERS}/verify-email", headers=session, json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "code_not_valid")
    assert await sql.fetchval("SELECT email FROM accounts") == thief.email


@pytest.mark.parametrize("moment", ["before it is compared", "between comparison and use"])
async def test_an_expired_code_is_wrong_by_the_clock_of_the_database(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection, moment: str
) -> None:
    asked = await request(users_app, "reset")
    code = await sent.latest(MAILBOX, "reset")
    if moment == "before it is compared":
        await sql.execute("UPDATE codes SET expires_at = clock_timestamp()")
        assert await compare(users_app, asked, "reset", code) is None
        return
    right = await compare(users_app, asked, "reset", code)
    assert right is not None
    await sql.execute("UPDATE codes SET expires_at = clock_timestamp()")
    assert not await use(users_app, right)


async def test_the_table_holds_a_code_as_a_mac_under_a_key_of_the_server(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    await request(users_app, "reset")
    code = await sent.latest(MAILBOX, "reset")
    stored = await sql.fetchval("SELECT codes::text || encode(code_mac, 'escape') FROM codes")
    assert code not in stored
    assert await sql.fetchval("SELECT octet_length(code_mac) FROM codes") == 32


def test_a_code_is_any_of_fifty_bits() -> None:
    """Chi-squared of each place: what is truly uniform fails less often than once in 10^9 runs."""
    assert LENGTH * math.log2(len(ALPHABET)) == 50
    codes = [new_code() for _ in range(20_000)]
    assert len(set(codes)) == len(codes)
    for place in range(LENGTH):
        seen = Counter(code[place] for code in codes)
        expected = len(codes) / len(ALPHABET)
        assert seen.keys() <= set(ALPHABET)
        assert sum((seen[letter] - expected) ** 2 / expected for letter in ALPHABET) < 110  # 31 degrees of freedom
