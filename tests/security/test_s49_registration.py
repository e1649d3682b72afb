"""S49: nobody registers beyond what REGISTRATION allows, and an invitation gives what its inviter may still give."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.builders import registered
from tests.composed import USERS
from tests.integration.users.conftest import SentCodes, bus, sent, sql
from tests.integration.users.registering import Running, confirm, invite, refusal, register, running

__all__ = ("bus", "running", "sent", "sql")


async def test_of_fifty_confirmations_at_once_one_makes_the_account(running: Running, sent: SentCodes) -> None:
    async with running(registration="proven") as app:
        started = await register(app, email="ada@example.org")
        code = await sent.latest("ada@example.org", "register")
        answers = await asyncio.gather(*(confirm(app, started, code) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [201, *[400] * 49]


async def test_an_invitation_ends_with_the_rights_of_its_inviter_and_by_a_later_one(
    running: Running, sent: SentCodes, sql: asyncpg.Connection
) -> None:
    async with running(registration="invited") as app:
        admin = await registered(app.parts, is_admin=True)
        await invite(app, admin, "ada@example.org", is_admin=True)
        await invite(app, admin, "ada@example.org")
        first, second = await sent.all("ada@example.org", "invite")
        assert refusal(await register(app, email="ada@example.org", invitation_code=first)) == (400, "code_not_valid")
        await sql.execute("UPDATE accounts SET is_admin = false")
        assert refusal(await register(app, email="ada@example.org", invitation_code=second)) == (400, "code_not_valid")


async def test_nobody_but_an_administrator_with_a_recent_login_invites(running: Running) -> None:
    async with running(registration="invited") as app:
        person, admin = await registered(app.parts), await registered(app.parts, is_admin=True)
        assert refusal(await invite(app, person, "ada@example.org")) == (403, "not_enough_permissions")
        late = await app.http.post(
            f"{USERS}/invitations", headers=app.as_(admin.id, login_age=400), json={"email": "ada@example.org"}
        )
        assert refusal(late) == (403, "login_too_old")
        assert refusal(await invite(app, admin, person.email)) == (400, "user_already_exists")


@pytest.mark.parametrize(("mode", "code"), [("closed", "registration_closed"), ("invited", "invitation_needed")])
async def test_a_registration_that_was_begun_ends_when_the_door_is_shut(
    running: Running, sent: SentCodes, mode: str, code: str
) -> None:
    async with running(registration="proven") as app:
        started = await register(app, email="ada@example.org")
    async with running(registration=mode) as app:
        answer = await confirm(app, started, await sent.latest("ada@example.org", "register"))
        assert refusal(answer) == (403, code)


async def test_where_registration_is_closed_nobody_registers_an_invitation_or_not(running: Running) -> None:
    async with running(registration="closed") as app:
        assert refusal(await register(app)) == (403, "registration_closed")
        assert refusal(await register(app, invitation_code="0000000000")) == (403, "registration_closed")


async def test_of_two_invitations_at_once_the_later_one_stays(running: Running, sql: asyncpg.Connection) -> None:
    """Both stayed: an invitation of an administrator outlived its correction."""
    async with running(registration="invited") as app:
        admins = [await registered(app.parts, is_admin=True) for _ in range(2)]
        for number in range(10):
            email = f"person{number}@example.net"
            await asyncio.gather(*(invite(app, admin, email) for admin in admins))
        still_open = await sql.fetch("SELECT count(*) FROM codes WHERE used_at IS NULL GROUP BY email_key_hash")
        assert [row["count"] for row in still_open] == [1] * 10


async def test_an_invitation_that_is_used_and_replaced_at_once_ends_in_one_of_the_two(
    running: Running, sent: SentCodes
) -> None:
    """They locked the mailbox and its codes in turn, and Postgres ended one of them after a second."""
    async with running(registration="invited") as app:
        one, other = [await registered(app.parts, is_admin=True) for _ in range(2)]
        for number in range(5):
            email = f"person{number}@example.net"
            await invite(app, one, email)
            code = await sent.latest(email, "invite")
            answers = await asyncio.gather(register(app, email=email, invitation_code=code), invite(app, other, email))
            assert sorted(answer.status_code for answer in answers) == [201, 400]
