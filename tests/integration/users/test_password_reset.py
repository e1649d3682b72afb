"""A forgotten password: asked for by anybody, set by whoever reads the mailbox."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from shared.messaging.events import AccountChanged
from tests.builders import OTHER_PASSWORD, PASSWORD, registered
from tests.composed import USERS, UsersApp, client
from tests.integration.users.conftest import SentCodes

WRONG = "0000000000"


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts, is_2fa=True)


async def ask(app: UsersApp, email: str, *, address: str = "192.0.2.1") -> httpx.Response:
    async with client(app.app, address) as http:
        return await http.post(f"{USERS}/password-reset", json={"email": email})


async def token(app: UsersApp, email: str, *, address: str = "192.0.2.1") -> str:
    return str((await ask(app, email, address=address)).json()["reset_token"])


async def confirm(app: UsersApp, reset_token: str, code: str, password: str = OTHER_PASSWORD) -> httpx.Response:
    body = {"reset_token": reset_token, "code": code, "password": password}
    return await app.http.post(f"{USERS}/password-reset/confirm", json=body)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_the_mailed_code_sets_a_password_ends_every_session_and_keeps_the_second_factor(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, sql: asyncpg.Connection
) -> None:
    session = users_app.as_(account.id)
    reset = await token(users_app, account.email)

    answer = await confirm(users_app, reset, await sent.latest(account.email, "reset"))

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await users_app.http.get(f"{USERS}/me", headers=session)).status_code == 401
    row = await sql.fetchrow("SELECT * FROM accounts")
    assert await users_app.parts.passwords.verify(OTHER_PASSWORD, row["password_hash"])
    assert (row["session_epoch"], row["kept_session"], row["is_2fa"]) == (1, None, True)
    bodies = await sql.fetch("SELECT body FROM outbox WHERE type = 'users.account_changed.v1' ORDER BY id")
    assert [AccountChanged.model_validate_json(row["body"]).password_by_mail for row in bodies] == [False, True]
    notice = await sql.fetchval("SELECT body::json ->> 'notice' FROM outbox WHERE type = 'users.notice_requested.v1'")
    assert notice == "password_reset"


async def test_a_password_that_is_changed_otherwise_did_not_come_by_mail(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, sql: asyncpg.Connection
) -> None:
    await confirm(users_app, await token(users_app, account.email), await sent.latest(account.email, "reset"))
    body = {"password": PASSWORD, "confirm_password": PASSWORD}
    headers = users_app.as_(account.id, epoch=1, amr="pwd otp mfa")
    assert (await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)).status_code == 200
    assert await sql.fetchval("SELECT password_by_mail FROM accounts") is False


async def test_a_reset_proves_the_address_and_forgets_one_that_is_pending(
    users_app: UsersApp, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    account = await registered(users_app.parts, email_verified_at=None)
    await sql.execute("UPDATE accounts SET pending_email = 'thief@example.org'")
    await confirm(users_app, await token(users_app, account.email), await sent.latest(account.email, "reset"))
    row = await sql.fetchrow("SELECT email_verified_at IS NOT NULL AS proved, pending_email FROM accounts")
    assert tuple(row) == (True, None)


async def test_of_fifty_confirmations_at_once_one_succeeds(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, sql: asyncpg.Connection
) -> None:
    reset = await token(users_app, account.email)
    code = await sent.latest(account.email, "reset")

    answers = await asyncio.gather(*(confirm(users_app, reset, code) for _ in range(50)))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[204] == 1
    assert statuses.keys() <= {204, 400, 429}
    assert await sql.fetchval("SELECT version FROM accounts") == 2


@pytest.mark.parametrize("of", ["nobody", "somebody else", "another purpose", "a used one"])
async def test_a_code_that_is_not_of_this_request_is_wrong(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, of: str
) -> None:
    reset = await token(users_app, account.email)
    if of == "nobody":
        code = WRONG
    elif of == "somebody else":
        other = await registered(users_app.parts)
        await ask(users_app, other.email)
        code = await sent.latest(other.email, "reset")
    elif of == "another purpose":
        headers = users_app.as_(account.id, amr="pwd otp mfa")
        await users_app.http.patch(f"{USERS}/", headers=headers, json={"email": "new@example.org"})
        code = await sent.latest("new@example.org", "change")
    else:
        code = await sent.latest(account.email, "reset")
        assert (await confirm(users_app, reset, code)).status_code == 204

    assert refusal(await confirm(users_app, reset, code)) == (400, "code_not_valid")


async def test_a_reset_that_nobody_asked_for_and_one_for_nobody_get_the_answer_of_a_wrong_code(
    users_app: UsersApp, account: Row[Any]
) -> None:
    for reset in (str(uuid4()), await token(users_app, "nobody@example.org")):
        answer = await confirm(users_app, reset, WRONG)
        assert refusal(answer) == (400, "code_not_valid")


async def test_a_weak_password_is_refused_after_the_code_was_right_and_leaves_it_good(
    users_app: UsersApp, account: Row[Any], sent: SentCodes
) -> None:
    reset = await token(users_app, account.email)
    code = await sent.latest(account.email, "reset")
    assert refusal(await confirm(users_app, reset, WRONG, "password")) == (400, "code_not_valid")
    for _ in range(6):
        assert refusal(await confirm(users_app, reset, code, "password")) == (400, "password_too_weak")
    assert (await confirm(users_app, reset, code)).status_code == 204


async def test_five_wrong_codes_end_a_request_and_no_other(
    users_app: UsersApp, account: Row[Any], sent: SentCodes
) -> None:
    strangers, owners = await token(users_app, account.email), await token(users_app, account.email)
    code = await sent.latest(account.email, "reset")
    for _ in range(5):
        await confirm(users_app, strangers, WRONG)
    assert refusal(await confirm(users_app, strangers, code)) == (400, "code_not_valid")
    assert (await confirm(users_app, owners, code)).status_code == 204


async def test_beyond_three_mails_an_hour_the_codes_that_are_there_are_still_good(
    users_app: UsersApp, account: Row[Any], sent: SentCodes
) -> None:
    answers = [await ask(users_app, account.email, address=f"192.0.2.{number}") for number in range(1, 6)]
    assert {answer.status_code for answer in answers} == {202}
    codes = await sent.all(account.email, "reset")
    assert len(codes) == 3
    assert (await confirm(users_app, answers[-1].json()["reset_token"], codes[0])).status_code == 204
    assert refusal(await confirm(users_app, answers[0].json()["reset_token"], codes[1])) == (400, "code_not_valid")


async def test_one_client_asks_ten_times_an_hour_whoever_it_asks_for(users_app: UsersApp, account: Row[Any]) -> None:
    addresses = [f"person{number}@example.net" for number in range(9)]
    for email in (*addresses, account.email):
        assert (await ask(users_app, email)).status_code == 202
    refused = await ask(users_app, "one.more@example.net")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 3000
    assert (await ask(users_app, account.email, address="192.0.2.2")).status_code == 202


async def test_the_mail_goes_to_the_address_of_the_account_however_it_was_asked_for(
    users_app: UsersApp, account: Row[Any], sent: SentCodes
) -> None:
    reset = await token(users_app, account.email.upper())
    assert (await confirm(users_app, reset, await sent.latest(account.email, "reset"))).status_code == 204


async def test_whoever_is_locked_or_has_another_address_by_now_gets_no_password(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, sql: asyncpg.Connection
) -> None:
    reset = await token(users_app, account.email)
    code = await sent.latest(account.email, "reset")
    await sql.execute("UPDATE accounts SET is_active = false")
    assert refusal(await confirm(users_app, reset, code)) == (400, "code_not_valid")
    await sql.execute("UPDATE accounts SET is_active = true, email = 'new@example.org', email_key = 'new@example.org'")
    assert refusal(await confirm(users_app, reset, code)) == (400, "code_not_valid")


async def test_an_administrator_starts_a_reset_and_its_owner_ends_it(
    users_app: UsersApp, account: Row[Any], sent: SentCodes
) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    for _ in range(4):  # the limits are for strangers
        answer = await users_app.http.post(f"{USERS}/{account.id}/password-reset", headers=users_app.as_(admin.id))
        assert (answer.status_code, answer.json()) == (202, {"expires_in": 600})
    code = await sent.latest(account.email, "reset")
    assert (await confirm(users_app, await token(users_app, account.email), code)).status_code == 204


async def test_nobody_else_starts_a_reset_for_somebody(users_app: UsersApp, account: Row[Any]) -> None:
    person = await registered(users_app.parts)
    answer = await users_app.http.post(f"{USERS}/{account.id}/password-reset", headers=users_app.as_(person.id))
    assert refusal(answer) == (403, "not_enough_permissions")


async def test_what_is_no_address_is_told(users_app: UsersApp) -> None:
    assert refusal(await ask(users_app, "nobody")) == (400, "email_not_valid")


async def test_resets_that_an_administrator_starts_leave_the_limit_of_the_office_alone(
    users_app: UsersApp, account: Row[Any]
) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    async with client(users_app.app, "192.0.2.1") as office:
        for _ in range(11):
            await office.post(f"{USERS}/{account.id}/password-reset", headers=users_app.as_(admin.id))
    assert (await ask(users_app, account.email, address="192.0.2.1")).status_code == 202


async def test_one_code_costs_one_hash_however_often_it_is_sent_at_once(
    users_app: UsersApp, account: Row[Any], sent: SentCodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = 0
    hashed = users_app.parts.passwords.hash

    async def counted(*asked: Any) -> str:
        nonlocal hashes
        hashes += 1
        return await hashed(*asked)

    monkeypatch.setattr(users_app.parts.passwords, "hash", counted)
    reset = await token(users_app, account.email)
    code = await sent.latest(account.email, "reset")
    await asyncio.gather(*(confirm(users_app, reset, code) for _ in range(30)))
    assert hashes == 1
