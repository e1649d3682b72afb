"""Proof of an address: at registration, by a login code, and by somebody who answers for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.long_codes import ALPHABET, LENGTH
from shared.messaging.address_events import AccountCodeOutcome, AddressProved
from shared.messaging.memory import MemoryBus
from tests.builders import message, registered, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.integration.users.conftest import SentCodes
from tests.integration.users.people import Person, newcomer, owner, refusal
from tests.servers.databases import Databases

__all__ = ("newcomer", "owner")

NEW = "new@example.org"


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


async def test_a_late_proof_of_an_address_that_was_another_meanwhile_counts_no_more(
    users_app: UsersApp, newcomer: Person, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    for email in (NEW, newcomer.email):
        await users_app.http.patch(f"{USERS}/{newcomer.id}", headers=users_app.as_(admin.id), json={"email": email})
    event = AddressProved(account_id=newcomer.id, email=newcomer.email, session_epoch=0, occurred_at=datetime.now(UTC))
    await bus.publish(message(event))
    assert await sql.fetchval("SELECT email_verified_at FROM accounts WHERE id = $1", newcomer.id) is None
