"""Row 18: every event comes ten times, in any order.

Mails are the same mail (I4), and what auth and users know ends at the truth (I8).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue

from services.users import accounts
from shared.messaging.address_events import AccountCodeOutcome, AddressProved, CodeRequested
from shared.messaging.amqp import AmqpBus
from shared.messaging.amqp.topology import declare
from shared.messaging.events import InStep, NotifierHeartbeat, OtpOutcome, OtpRequested
from shared.messaging.factor_events import EnrolledFactor
from shared.messaging.memory import MemoryBus
from shared.messaging.password_events import PasswordRehashed, digest_of
from shared.messaging.topology import EVENTS_EXCHANGES, SUBSCRIPTIONS
from tests.auth_steps import Accounts
from tests.builders import (
    OTHER_PASSWORD,
    PASSWORD,
    account_changed,
    factors_changed,
    message,
    notice_requested,
    registered,
    session_ended,
    tombstone,
)
from tests.composed import USERS, UsersApp
from tests.faults.rows.account_codes import confirm_reset, reset_token, resets
from tests.faults.rows.promises import Promises
from tests.faults.rows.repeating import DEALT_WITH, TIMES, LogLines, heard, say
from tests.faults.rows.users_beside import users
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.conftest import operator
from tests.polling import eventually
from tests.servers.databases import Databases, connected

__all__ = ("operator", "users")


def test_every_event_that_somebody_wants_is_tried_here() -> None:
    # tests/integration/auth/test_back_pressure.py, tests/security/test_s44_in_step.py
    elsewhere = {NotifierHeartbeat.type, InStep.type}
    assert set(DEALT_WITH) | elsewhere == {key for each in SUBSCRIPTIONS for key in each.routing_keys}


@pytest.fixture
async def overheard(path: CodesPath, operator: AbstractChannel) -> AbstractQueue:
    """A copy of every event; to be asked for before something is said."""
    await declare(operator)
    queue = await operator.declare_queue(exclusive=True)
    for exchange in EVENTS_EXCHANGES:
        await queue.bind(exchange, "#")
    return queue


@pytest.fixture
async def bus(path: CodesPath) -> AsyncIterator[AmqpBus]:
    bus = AmqpBus(path.amqp_url)
    yield bus
    await bus.close()


async def test_a_code_that_is_asked_for_ten_times_more_is_the_same_mail_and_lets_in_once(
    path: CodesPath, overheard: AbstractQueue, bus: AmqpBus, promises: Promises, log_lines: LogLines
) -> None:
    await path.start_notifier()
    made = await promises.several(3)

    await say(bus, await heard(overheard, OtpRequested.type, 3), log_lines)

    await promises.kept(mails_each=1 + TIMES)
    for promise in made:
        code = path.mails.mails_to(promise.email)[0].code
        assert (await path.auth.verify_otp(promise.temporary, code)).status_code == 400


async def test_a_notice_that_is_asked_for_ten_times_more_is_the_same_mail(
    path: CodesPath, bus: AmqpBus, log_lines: LogLines
) -> None:
    await path.start_notifier()
    asked = [notice_requested(email=f"person{number}@example.org") for number in range(3)]

    await say(bus, map(message, asked), log_lines)

    for event in asked:
        mails = path.mails.mails_to(event.email)
        assert len(mails) == TIMES
        assert len({mail.message["Message-ID"] for mail in mails}) == 1


async def test_reports_in_any_order_leave_the_last_word(
    path: CodesPath, overheard: AbstractQueue, bus: AmqpBus, promises: Promises, log_lines: LogLines
) -> None:
    await path.start_notifier()
    path.mails.refuse("450 4.2.1 Busy", times=2)
    (delivered,) = await promises.several(1)
    await path.mails.wait_for(delivered.email, timeout=PATIENCE)
    path.mails.refuse("550 5.1.1 No such mailbox")
    refused = (await path.log_in()).json()["temporary_token"]
    reports = await heard(overheard, OtpOutcome.type, 4)  # deferred twice, delivered, given up

    await say(bus, reports, log_lines)

    assert await path.status(delivered.temporary) == "delivered"
    assert await path.status(refused) == "failed"


async def test_accounts_end_at_their_highest_version_and_the_deleted_stay_deleted(
    path: CodesPath, bus: AmqpBus, log_lines: LogLines
) -> None:
    next_state = Accounts(MemoryBus(), path.keys.account_sealer).next_state
    firsts = [account_changed(path.keys.account_sealer, is_2fa=False) for _ in range(4)]
    lasts = [next_state(first, version=9, password=OTHER_PASSWORD) for first in firsts]
    between = [next_state(first, version=version) for first in firsts for version in range(2, 9)]
    gone = firsts[:2]
    tombstones = [tombstone(first.account_id, 10) for first in gone]

    await say(bus, map(message, [*firsts, *between, *lasts, *tombstones]), log_lines)
    await say(bus, [message(next_state(first, version=9)) for first in gone], log_lines)

    for first in firsts:
        stays = first not in gone
        assert (await path.auth.log_in(first.username, OTHER_PASSWORD)).status_code == (200 if stays else 400)
        assert (await path.auth.log_in(first.username, PASSWORD)).status_code == 400
        version = await path.sql.fetchval("SELECT version FROM auth.identities WHERE id = $1", first.account_id)
        assert version == (9 if stays else 10)


async def test_ended_sessions_are_refused_and_no_other(users: UsersApp, bus: AmqpBus, log_lines: LogLines) -> None:
    account = await registered(users.parts)
    ended, alive = [uuid4() for _ in range(4)], uuid4()
    events = [session_ended(*ended[:2]), *(session_ended(each) for each in ended)]

    await say(bus, map(message, events), log_lines)

    async def me(session: UUID) -> int:
        headers = users.as_(account.id, session=session)
        return (await users.http.get(f"{USERS}/me", headers=headers)).status_code

    assert [await me(each) for each in (*ended, alive)] == [401, 401, 401, 401, 200]


async def test_an_account_code_that_is_asked_for_ten_times_more_is_the_same_mail_and_is_taken_once(
    path: CodesPath, users: UsersApp, overheard: AbstractQueue, bus: AmqpBus, log_lines: LogLines
) -> None:
    await path.start_notifier()
    people = [await registered(users.parts) for _ in range(3)]
    tokens = [await reset_token(users, person.email) for person in people]

    await say(bus, await heard(overheard, CodeRequested.type, 3), log_lines)

    for person, token in zip(people, tokens, strict=True):
        mails = path.mails.mails_to(person.email)
        assert len(mails) == 1 + TIMES
        ((code, _),) = {(mail.account_code, mail.message["Message-ID"]) for mail in mails}
        await resets(users, token, code)
        assert (await confirm_reset(users, token, code)).status_code == 400


async def test_reports_on_account_codes_in_any_order_leave_the_last_word(
    path: CodesPath, users: UsersApp, overheard: AbstractQueue, bus: AmqpBus, databases: Databases, log_lines: LogLines
) -> None:
    await path.start_notifier()
    delivered, refused = [await registered(users.parts) for _ in range(2)]
    path.mails.refuse("450 4.2.1 Busy", times=1)
    await reset_token(users, delivered.email)
    await path.mails.wait_for(delivered.email, timeout=PATIENCE)
    path.mails.refuse("550 5.1.1 No such mailbox")
    await reset_token(users, refused.email)
    reports = await heard(overheard, AccountCodeOutcome.type, 3)  # deferred, delivered, given up

    await say(bus, reports, log_lines)

    async with connected(databases.users_url) as sql:
        query = "SELECT outcome FROM users.codes WHERE account_id = $1"
        outcomes = [await sql.fetchval(query, each.id) for each in (delivered, refused)]
    assert outcomes == ["delivered", "given_up"]


async def test_factors_end_at_their_highest_version_and_a_deleted_account_gets_none(
    users: UsersApp, bus: AmqpBus, databases: Databases, log_lines: LogLines
) -> None:
    stays, gone = [await registered(users.parts) for _ in range(2)]
    async with users.parts.database.transaction() as connection:
        await accounts.remove(connection, gone)
    states: list[tuple[EnrolledFactor, ...]] = [("totp",), (), ("passkey", "recovery"), ("passkey", "totp")]

    told = [factors_changed(each.id, *of, version=n) for each in (stays, gone) for n, of in enumerate(states, 1)]
    await say(bus, map(message, told), log_lines)

    async with connected(databases.users_url) as sql:
        rows = await sql.fetch("SELECT id, factors, factors_version, version FROM users.accounts")
    assert [tuple(row) for row in rows] == [(stays.id, ["passkey", "totp"], 4, 1)]


async def test_a_proof_of_an_address_counts_once_and_not_for_another_address_or_a_deleted_account(
    path: CodesPath, users: UsersApp, bus: AmqpBus, databases: Databases, log_lines: LogLines
) -> None:
    proved, moved, gone = [await registered(users.parts, email_verified_at=None) for _ in range(3)]
    async with users.parts.database.transaction() as connection:
        elsewhere = {"email": f"elsewhere-{moved.email}"}
        await accounts.change(connection, users.parts.sealer, moved, elsewhere, by_session=None)
        await accounts.remove(connection, gone)
    late = datetime.now(UTC)
    proofs = [
        AddressProved(account_id=each.id, email=each.email, session_epoch=0, occurred_at=late)
        for each in (proved, moved, gone)
    ]

    await say(bus, map(message, proofs), log_lines)

    async with connected(databases.admin_url) as sql:
        of_users = "SELECT id, version, email, email_verified_at IS NOT NULL FROM users.accounts"
        of_auth = "SELECT id, version, email, email_verified FROM auth.identities"
        expected = [(proved.id, 2, proved.email, True), (moved.id, 2, elsewhere["email"], False)]
        assert sorted(map(tuple, await sql.fetch(of_users))) == expected

        async def auth_has_learnt() -> bool:
            return sorted(map(tuple, await sql.fetch(f"{of_auth} WHERE NOT deleted"))) == expected

        await eventually(auth_has_learnt, PATIENCE)


async def test_a_hash_is_replaced_once_and_neither_a_changed_password_nor_a_deleted_account_comes_back(
    path: CodesPath, users: UsersApp, bus: AmqpBus, databases: Databases, log_lines: LogLines
) -> None:
    imported, changed, gone = [await registered(users.parts, password_hash=f"old {n}") for n in range(3)]
    async with users.parts.database.transaction() as connection:
        await accounts.change(connection, users.parts.sealer, changed, {"password_hash": "chosen"}, by_session=None)
        await accounts.remove(connection, gone)
    # Each logs in twice before users has heard of it.
    made = [
        PasswordRehashed(
            account_id=each.id, replaced=digest_of(each.password_hash), occurred_at=datetime.now(UTC)
        ).sealed(f"new {n}", path.keys.account_sealer)
        for each in (imported, changed, gone)
        for n in range(2)
    ]

    await say(bus, map(message, made), log_lines)

    async with connected(databases.admin_url) as sql:
        stored = {tuple(row) for row in await sql.fetch("SELECT id, version, password_hash FROM users.accounts")}
        (winner,) = stored - {(changed.id, 2, "chosen")}
        assert winner in {(imported.id, 2, "new 0"), (imported.id, 2, "new 1")}

        async def auth_has_learnt() -> bool:
            of_auth = "SELECT id, version, password_hash FROM auth.identities WHERE NOT deleted"
            return {tuple(row) for row in await sql.fetch(of_auth)} == stored

        await eventually(auth_has_learnt, PATIENCE)
