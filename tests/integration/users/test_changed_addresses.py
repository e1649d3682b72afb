"""A changed address: pending until its code is back, and no way to learn who has one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg

from shared.messaging.address_events import AccountCodeOutcome
from shared.messaging.memory import MemoryBus
from tests.builders import message, registered
from tests.composed import USERS, UsersApp
from tests.integration.users.conftest import SentCodes
from tests.integration.users.people import Person, newcomer, owner, refusal

__all__ = ("newcomer", "owner")

NEW = "new@example.org"


async def test_a_changed_address_is_pending_until_its_code_is_back_and_the_old_one_stays_in_use(
    owner: Person, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    answer = await owner.patch(email=NEW)
    assert (answer.json()["email"], answer.json()["pending_email"]) == (owner.email, NEW)
    assert await told(sql) == [(owner.email, "email_change_requested")]

    answer = await owner.confirm(await sent.latest(NEW, "change"))

    account = answer.json()
    assert (account["email"], account["pending_email"]) == (NEW, None)
    assert account["email_verified_at"] is not None
    assert await told(sql) == [(owner.email, "email_change_requested"), (owner.email, "email_changed")]
    assert await sql.fetchrow("SELECT session_epoch, kept_session FROM accounts") == (1, owner.session)


async def told(sql: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await sql.fetch(
        "SELECT body::json ->> 'email', body::json ->> 'notice' FROM outbox"
        " WHERE type = 'users.notice_requested.v1' ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_a_pending_address_can_be_forgotten_and_its_code_with_it(owner: Person, sent: SentCodes) -> None:
    await owner.patch(email=NEW)
    code = await sent.latest(NEW, "change")

    answer = await owner.app.http.delete(f"{USERS}/pending-email", headers=owner.headers())

    assert answer.json()["pending_email"] is None
    assert refusal(await owner.confirm(code)) == (409, "nothing_to_prove")


async def test_another_spelling_of_the_same_address_changes_nothing(owner: Person, sent: SentCodes) -> None:
    before = await owner.me()
    answer = await owner.patch(email=owner.email.upper())
    assert answer.json() == before
    assert await sent.all(owner.email.upper(), "change") == []


async def test_of_two_accounts_that_want_one_address_one_gets_it(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    rows = [await registered(users_app.parts) for _ in range(2)]
    people = [Person(users_app, row.id, row.email) for row in rows]
    for person in people:
        assert (await person.patch(email=NEW)).json()["pending_email"] == NEW
    codes = await sent.all(NEW, "change")

    answers = await asyncio.gather(*(person.confirm(code) for person, code in zip(people, codes, strict=True)))

    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert await sql.fetchval("SELECT count(*) FROM accounts WHERE email = $1", NEW) == 1


async def test_an_address_that_somebody_has_is_answered_like_a_free_one_and_its_owner_is_told(
    owner: Person, users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    somebody = await registered(users_app.parts)

    answer = await owner.patch(email=somebody.email)

    assert (answer.status_code, answer.json()["pending_email"]) == (200, somebody.email)
    assert await sent.all(somebody.email, "change") == []
    assert (somebody.email, "already_registered") in await told(sql)


async def test_an_administrator_changes_somebodys_address_at_once_and_it_is_not_proved(
    users_app: UsersApp, owner: Person
) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    answer = await users_app.http.patch(f"{USERS}/{owner.id}", headers=users_app.as_(admin.id), json={"email": NEW})
    assert (answer.json()["email"], answer.json()["email_verified_at"]) == (NEW, None)

    answer = await users_app.http.post(f"{USERS}/{owner.id}/verify-email", headers=users_app.as_(admin.id))
    assert answer.json()["email_verified_at"] is not None


async def test_nothing_that_can_be_asked_later_tells_that_somebody_has_the_address(
    users_app: UsersApp, sql: asyncpg.Connection, bus: MemoryBus
) -> None:
    somebody = await registered(users_app.parts)
    seen = []
    for wanted in (NEW, somebody.email):
        people = [await registered(users_app.parts) for _ in range(7)]
        askers = [Person(users_app, row.id, row.email) for row in people]
        answers = [await asker.patch(email=wanted) for asker in askers]
        for code in await sql.fetch("SELECT id FROM codes WHERE code_mac IS NOT NULL"):
            event = AccountCodeOutcome(
                code_id=code["id"], outcome="delivered", attempt=1, occurred_at=datetime.now(UTC)
            )
            await bus.publish(message(event))
        progress = await users_app.http.get(f"{USERS}/verify-email", headers=askers[0].headers())
        told = progress.json()
        seconds = [told.pop(name) > 60 for name in ("resend_in", "expires_in")]  # they pass between the two questions
        seen.append(([answer.status_code for answer in answers], told["status"], told["attempts_left"], seconds))
    free, taken = seen
    assert free == taken
    assert free[0] == [200] * 7


async def test_two_who_change_to_each_others_address_at_once_wait_for_each_other_and_no_longer(
    users_app: UsersApp,
) -> None:
    """They locked their notices and each other's mailbox in turn, and Postgres ended one of them after a second."""
    for _ in range(10):
        rows = [await registered(users_app.parts) for _ in range(2)]
        one, other = [Person(users_app, row.id, row.email) for row in rows]
        answers = await asyncio.gather(one.patch(email=other.email), other.patch(email=one.email))
        assert [answer.status_code for answer in answers] == [200, 200]


async def test_what_is_no_address_is_refused_before_the_version_is_compared(owner: Person) -> None:
    headers = owner.headers() | {"If-Match": '"99"'}
    answer = await owner.app.http.patch(f"{USERS}/", headers=headers, json={"email": "nobody"})
    assert refusal(answer) == (400, "email_not_valid")
