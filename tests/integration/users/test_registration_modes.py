"""Registration: REGISTRATION=proven, invited, closed; and accounts that an administrator makes."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from services.users.administration import invitation
from tests.builders import PASSWORD, administration, registered, registration
from tests.composed import USERS, Keys
from tests.integration.users.conftest import SentCodes
from tests.integration.users.registering import Running, confirm, invite, refusal, register, running
from tests.servers.databases import Databases

__all__ = ("running",)


async def test_whoever_wants_to_register_can_ask_how(running: Running) -> None:
    async with running(registration="invited", email_verification="required", password_min_length=12) as app:
        answer = await app.http.get(f"{USERS}/registration")
        rules = {"registration": "invited", "email_verification": "required", "password_min_length": 12}
        assert (answer.status_code, answer.json()) == (200, rules)


async def test_where_registration_is_proven_the_code_makes_the_account(
    running: Running, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    async with running(registration="proven") as app:
        started = await register(app, email="ada@example.org", username="ada")
        assert (started.status_code, started.json()["expires_in"]) == (202, 600)
        assert await sql.fetchval("SELECT count(*) FROM accounts") == 0

        answer = await confirm(app, started, await sent.latest("ada@example.org", "register"))

        account = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{USERS}/{account['id']}"
        assert (account["username"], account["email_verified_at"] is not None) == ("ada", True)
        stored = await sql.fetchval("SELECT password_hash FROM accounts")
        assert await app.parts.passwords.verify(PASSWORD, stored)


async def test_an_address_that_has_an_account_gets_a_notice_and_the_answer_of_any_other(
    running: Running, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    async with running(registration="proven") as app:
        owner = await registered(app.parts)
        started = await register(app, email=owner.email)
        assert started.status_code == 202
        assert await sent.all(owner.email, "register") == []
        notices = await sql.fetch("SELECT body::json ->> 'notice' FROM outbox WHERE type = 'users.notice_requested.v1'")
        assert [row[0] for row in notices] == ["already_registered"]
        assert refusal(await confirm(app, started, "0000000000")) == (400, "code_not_valid")


async def test_a_taken_username_is_told_to_whoever_has_the_code_which_stays_good(
    running: Running, sent: SentCodes
) -> None:
    async with running(registration="proven") as app:
        await registered(app.parts, username="ada")
        started = await register(app, email="ada@example.org", username="Ada")
        code = await sent.latest("ada@example.org", "register")
        assert refusal(await confirm(app, started, "0000000000")) == (400, "code_not_valid")
        assert refusal(await confirm(app, started, code)) == (400, "username_taken")
        assert (await confirm(app, started, code, username="ada2")).json()["username"] == "ada2"


async def test_whoever_has_a_code_tries_ten_usernames(running: Running, sent: SentCodes) -> None:
    async with running(registration="proven") as app:
        await registered(app.parts, username="ada")
        started = await register(app, email="ada@example.org", username="ada")
        code = await sent.latest("ada@example.org", "register")
        answers = [await confirm(app, started, code, username="ADA") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [*[400] * 10, 429]


async def test_a_mailbox_gets_three_codes_an_hour_and_a_client_asks_as_often_as_is_set(
    running: Running, sent: SentCodes
) -> None:
    async with running(registration="proven", registrations_per_client=30) as app:
        answers = await asyncio.gather(*(register(app, email="ada@example.org") for _ in range(32)))
        assert sorted(answer.status_code for answer in answers) == [*[202] * 30, 429, 429]
        assert len(await sent.all("ada@example.org", "register")) == 3


async def test_where_registration_is_invited_the_code_of_an_invitation_registers_with_its_rights(
    running: Running, sent: SentCodes
) -> None:
    async with running(registration="invited") as app:
        assert refusal(await register(app)) == (403, "invitation_needed")
        admin = await registered(app.parts, is_admin=True)
        invited = await invite(app, admin, "ada@example.org", is_admin=True, groups=["staff", "blue", "staff"])
        assert invited.status_code == 201
        code = await sent.latest("ada@example.org", "invite")
        assert refusal(await register(app, email="eve@example.org", invitation_code=code)) == (400, "code_not_valid")

        answer = await register(app, email="Ada@example.org", invitation_code=code.lower())

        account = answer.json()
        assert (answer.status_code, account["is_admin"], account["groups"]) == (201, True, ["blue", "staff"])
        assert account["email_verified_at"] is not None
        assert refusal(await register(app, email="ada@example.org", invitation_code=code)) == (400, "code_not_valid")


async def test_an_operator_invites_from_the_command_line(
    running: Running, sent: SentCodes, keys: Keys, databases: Databases, jwks_url: str
) -> None:
    async with running(registration="invited") as app:
        await administration(app.parts).invite(invitation(email="ada@example.org", is_admin=False, groups=["staff"]))
        code = await sent.latest("ada@example.org", "invite")
        assert (await register(app, email="ada@example.org", invitation_code=code)).json()["groups"] == ["staff"]


async def test_an_administrator_makes_an_account_and_its_owner_asks_for_a_password(
    running: Running, sent: SentCodes
) -> None:
    async with running(registration="closed") as app:
        admin = await registered(app.parts, is_admin=True)
        body = registration(email="ada@example.org", groups=["staff"])
        del body["password"]
        made = await app.http.post(f"{USERS}/", headers=app.as_(admin.id), json=body)
        assert (made.status_code, made.json()["groups"], made.json()["email_verified_at"]) == (201, ["staff"], None)

        asked = await app.http.post(f"{USERS}/password-reset", json={"email": "ada@example.org"})
        answer = await app.http.post(
            f"{USERS}/password-reset/confirm",
            json={
                "reset_token": asked.json()["reset_token"],
                "code": await sent.latest("ada@example.org", "reset"),
                "password": PASSWORD,
            },
        )
        assert answer.status_code == 204


async def test_a_group_is_given_by_an_administrator_and_found_in_the_list(running: Running) -> None:
    async with running() as app:
        admin, person = await registered(app.parts, is_admin=True), await registered(app.parts)
        own = await app.http.patch(f"{USERS}/", headers=app.as_(person.id), json={"groups": ["staff"]})
        assert refusal(own) == (403, "not_enough_permissions")
        given = await app.http.patch(
            f"{USERS}/{person.id}", headers=app.as_(admin.id), json={"groups": ["staff", "blue", "staff"]}
        )
        assert given.json()["groups"] == ["blue", "staff"]
        listed = await app.http.get(f"{USERS}/?group=staff", headers=app.as_(admin.id))
        assert [account["id"] for account in listed.json()] == [str(person.id)]


@pytest.mark.parametrize("groups", [["Staff"], ["a,b"], [""], ["a" * 33], [f"g{number}" for number in range(21)], "x"])
async def test_what_is_no_list_of_groups_is_refused(running: Running, groups: Any) -> None:
    async with running() as app:
        admin = await registered(app.parts, is_admin=True)
        answer = await app.http.patch(f"{USERS}/{admin.id}", headers=app.as_(admin.id), json={"groups": groups})
        assert refusal(answer) == (422, "invalid_request")


async def test_one_client_causes_so_many_mails_an_hour_and_registers_all_the_same(
    running: Running, sql: asyncpg.Connection
) -> None:
    async with running(registrations_per_client=3) as app:
        answers = [await register(app) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201] * 5
        assert await sql.fetchval("SELECT count(*) FROM codes WHERE code_mac IS NOT NULL") == 3


async def test_beyond_the_limit_of_a_client_no_password_is_hashed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(registration="proven", registrations_per_client=3) as app:
        for _ in range(3):
            assert (await register(app)).status_code == 202

        async def never(*_: Any) -> str:
            raise AssertionError("hashed for nobody")

        monkeypatch.setattr(app.parts.passwords, "hash", never)
        assert (await register(app)).status_code == 429


async def test_an_owner_whose_address_is_not_proved_is_told_too(running: Running, sql: asyncpg.Connection) -> None:
    async with running(registration="proven") as app:
        owner = await registered(app.parts, email_verified_at=None)
        await register(app, email=owner.email)
        assert await sql.fetchval("SELECT count(*) FROM outbox WHERE type = 'users.notice_requested.v1'") == 1
