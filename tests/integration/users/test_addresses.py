"""Proof of an address: at registration, at a change, by a login code, and by somebody who answers for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.users.codes import ALPHABET, LENGTH
from shared.messaging.address_events import AccountCodeOutcome, AddressProved
from shared.messaging.memory import MemoryBus
from tests.builders import message, registered, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.integration.users.conftest import SentCodes
from tests.servers.databases import Databases

NEW = "new@example.org"


class Person:
    """Somebody with an account and a session."""

    def __init__(self, app: UsersApp, account: UUID, email: str) -> None:
        self.app = app
        self.id = account
        self.email = email
        self.session = uuid4()

    def headers(self, *, epoch: int = 0, **how: Any) -> dict[str, str]:
        return self.app.as_(self.id, session=self.session, epoch=epoch, **how)

    async def ask(self) -> httpx.Response:
        return await self.app.http.post(f"{USERS}/verify-email/send", headers=self.headers())

    async def confirm(self, code: str) -> httpx.Response:
        return await self.app.http.post(f"{USERS}/verify-email", headers=self.headers(), json={"code": code})

    async def patch(self, **changes: Any) -> httpx.Response:
        return await self.app.http.patch(f"{USERS}/", headers=self.headers(), json=changes)

    async def me(self) -> dict[str, Any]:
        answer = await self.app.http.get(f"{USERS}/me", headers=self.headers())
        return dict(answer.json())


@pytest.fixture
async def newcomer(users_app: UsersApp) -> Person:
    """Registered over HTTP a moment ago."""
    answer = await users_app.http.post(f"{USERS}/registration", json=registration())
    return Person(users_app, UUID(answer.json()["id"]), answer.json()["email"])


@pytest.fixture
async def owner(users_app: UsersApp) -> Person:
    """The address is proved."""
    row = await registered(users_app.parts)
    return Person(users_app, row.id, row.email)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_registration_mails_a_code_and_the_code_proves_the_address(newcomer: Person, sent: SentCodes) -> None:
    (code,) = await sent.all(newcomer.email, "verify")
    assert len(code) == LENGTH
    assert set(code) <= set(ALPHABET)
    assert (await newcomer.me())["email_verified_at"] is None

    answer = await newcomer.confirm(code)

    assert answer.status_code == 200
    assert answer.json()["email_verified_at"] is not None
    assert answer.headers["etag"] == '"2"'


async def test_an_account_with_login_codes_gets_no_other_code_at_registration(
    users_app: UsersApp, sent: SentCodes
) -> None:
    answer = await users_app.http.post(f"{USERS}/registration", json=registration(is_2fa=True))
    assert await sent.all(answer.json()["email"], "verify") == []


@pytest.mark.parametrize(
    "spell",
    [str.lower, lambda code: f" {code[:5]} - {code[5:]}\n", lambda code: code.replace("0", "o").replace("1", "l")],
    ids=["small", "blanks and hyphens", "look-alikes"],
)
async def test_a_code_is_taken_as_people_write_it(newcomer: Person, sent: SentCodes, spell: Any) -> None:
    code = await sent.latest(newcomer.email, "verify")
    assert (await newcomer.confirm(spell(code))).status_code == 200


@pytest.mark.parametrize("code", ["", "ABCDE", "ABCDEFGHJKM", "ABCDE-FGHJU", "\uff11" * 10, 1234567890])
async def test_what_is_no_code_is_refused_with_what_a_code_is(newcomer: Person, code: Any) -> None:
    answer = await newcomer.app.http.post(f"{USERS}/verify-email", headers=newcomer.headers(), json={"code": code})
    assert refusal(answer) == (422, "invalid_request")


async def test_an_old_code_is_as_good_as_the_new_one_until_one_of_them_is_used(
    newcomer: Person, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE codes SET created_at = created_at - interval '1 minute'")
    assert (await newcomer.ask()).status_code == 202
    old, new = await sent.all(newcomer.email, "verify")

    assert (await newcomer.confirm(old)).status_code == 200
    assert refusal(await newcomer.confirm(new)) == (409, "nothing_to_prove")


async def test_five_wrong_codes_are_all_and_another_code_may_be_asked_for(
    newcomer: Person, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    wrong = await asyncio.gather(*(newcomer.confirm("0000000000") for _ in range(20)))
    assert Counter(map(refusal, wrong)) == {(400, "code_not_valid"): 20}
    assert await sql.fetchval("SELECT attempts FROM codes") == 5
    first = await sent.latest(newcomer.email, "verify")
    assert refusal(await newcomer.confirm(first)) == (400, "code_not_valid")

    await sql.execute("UPDATE codes SET created_at = created_at - interval '1 minute'")
    await newcomer.ask()
    assert (await newcomer.confirm(await sent.latest(newcomer.email, "verify"))).status_code == 200


async def test_a_code_may_be_asked_for_once_a_minute_and_five_times_an_hour(
    newcomer: Person, sql: asyncpg.Connection
) -> None:
    refused = await newcomer.ask()
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    for _ in range(4):
        await sql.execute("UPDATE codes SET created_at = created_at - interval '1 minute'")
        assert (await newcomer.ask()).status_code == 202
    await sql.execute("UPDATE codes SET created_at = created_at - interval '1 minute'")
    refused = await newcomer.ask()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 3000


async def test_whoever_made_a_typing_error_corrects_the_address_at_once(newcomer: Person, sent: SentCodes) -> None:
    assert (await newcomer.patch(email=NEW)).json()["pending_email"] == NEW
    answer = await newcomer.confirm(await sent.latest(NEW, "change"))
    assert answer.json()["email"] == NEW


async def test_the_state_of_a_code_is_what_the_notifier_reports_of_it(
    newcomer: Person, sql: asyncpg.Connection, bus: MemoryBus
) -> None:
    async def state() -> dict[str, Any]:
        answer = await newcomer.app.http.get(f"{USERS}/verify-email", headers=newcomer.headers())
        return dict(answer.json())

    pending = await state()
    assert (pending["email"], pending["status"], pending["attempts_left"]) == (newcomer.email, "pending", 5)
    assert 590 < pending["expires_in"] <= 600
    assert 50 < pending["resend_in"] <= 60

    code_id = await sql.fetchval("SELECT id FROM codes")
    for outcome, status in [("deferred", "pending"), ("delivered", "delivered"), ("given_up", "delivered")]:
        event = AccountCodeOutcome(code_id=code_id, outcome=outcome, attempt=1, occurred_at=datetime.now(UTC))
        await bus.publish(message(event))
        assert (await state())["status"] == status


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


async def test_nobody_but_an_administrator_answers_for_an_address(users_app: UsersApp, newcomer: Person) -> None:
    answer = await users_app.http.post(f"{USERS}/{newcomer.id}/verify-email", headers=newcomer.headers())
    assert refusal(answer) == (403, "not_enough_permissions")


@pytest.mark.parametrize(("email", "proved"), [("", True), ("an.earlier@example.org", False)])
async def test_a_right_login_code_proves_the_address_that_it_went_to_and_no_later_one(
    newcomer: Person, bus: MemoryBus, sql: asyncpg.Connection, email: str, proved: bool
) -> None:
    event = AddressProved(
        account_id=newcomer.id, email=email or newcomer.email, session_epoch=0, occurred_at=datetime.now(UTC)
    )
    for _ in range(2):  # a repeat changes nothing
        await bus.publish(message(event))
    version, at = await sql.fetchrow("SELECT version, email_verified_at FROM accounts")
    assert (version, at is not None) == ((2, True) if proved else (1, False))


async def test_where_no_address_is_proved_a_change_takes_effect_at_once(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, sent: SentCodes
) -> None:
    settings = users_settings(databases, keys, jwks_url, email_verification="off")
    async with running_users(settings, keys, bus) as app:
        answer = await app.http.post(f"{USERS}/registration", json=registration())
        person = Person(app, UUID(answer.json()["id"]), answer.json()["email"])
        assert await sent.all(person.email, "verify") == []
        assert (await person.patch(email=NEW)).json()["email"] == NEW
        person.session = uuid4()
        answer = await app.http.post(f"{USERS}/verify-email/send", headers=person.headers(epoch=1))
        assert refusal(answer) == (403, "email_verification_off")


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
        told_later = {name: value for name, value in progress.json().items() if name not in ("email", "resend_in")}
        seen.append(([answer.status_code for answer in answers], told_later, progress.json()["resend_in"] > 60))
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


async def test_a_late_proof_of_an_address_that_was_another_meanwhile_counts_no_more(
    users_app: UsersApp, newcomer: Person, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    for email in (NEW, newcomer.email):
        await users_app.http.patch(f"{USERS}/{newcomer.id}", headers=users_app.as_(admin.id), json={"email": email})
    event = AddressProved(account_id=newcomer.id, email=newcomer.email, session_epoch=0, occurred_at=datetime.now(UTC))
    await bus.publish(message(event))
    assert await sql.fetchval("SELECT email_verified_at FROM accounts WHERE id = $1", newcomer.id) is None
