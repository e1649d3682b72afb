"""S38: a mailbox gets no more codes than one account, over however many accounts and spellings of its address."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import asyncpg

from tests.builders import full_width, registered
from tests.composed import AuthApp, UsersApp
from tests.polling import eventually
from tests.security.mailbox import CAP, VICTIM, Person, Time, auth_app, bus, mails, time, users_app
from tests.security.somebody import password_accepted
from tests.security.waiting import WAITING
from tests.servers.databases import Databases, connected
from tests.servers.mail import MailSink

__all__ = ("auth_app", "bus", "mails", "time", "users_app")


async def codes_asked_for(auth: AuthApp, username: str, times: int) -> list[int]:
    return [(await auth.log_in(username)).status_code for _ in range(times)]


async def test_an_address_handed_round_accounts_gets_the_codes_of_one(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    """In other spellings too: capital letters and wide ones are the same mailbox."""
    answers: Counter[int] = Counter()
    for address in (VICTIM, VICTIM.upper(), full_width(VICTIM), VICTIM.title()):
        account = await registered(users_app.parts, email=address, is_2fa=True)
        await time.all_sent()
        answers.update(await codes_asked_for(auth_app, account.username, CAP))
        await Person(users_app, account.id, mails).move(f"{uuid4().hex}@example.org")
        await time.all_sent()

    codes = [mail for mail in mails.received if mail.has_code and mail.recipients[0].casefold() == VICTIM]
    assert answers == {200: CAP, 429: 3 * CAP}
    assert len(codes) == CAP


async def test_an_account_that_goes_from_address_to_address_gets_no_more_codes_than_one_that_stays(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    account = await registered(users_app.parts, email=VICTIM, is_2fa=True)
    person, answers = Person(users_app, account.id, mails), Counter[int]()
    for number in range(3):
        await time.all_sent()
        answers.update(await codes_asked_for(auth_app, account.username, CAP - 1))
        await person.move(f"victim{number}@example.net")
        person = Person(users_app, account.id, mails)
        person.epoch = number + 1

    assert answers[200] == CAP


async def test_of_codes_to_one_mailbox_at_once_from_two_accounts_no_more_are_sent_than_the_cap(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp, databases: Databases
) -> None:
    """Two accounts have one address only until both events have come: auth must count exactly then too."""
    names = [(await registered(users_app.parts, is_2fa=True)).username for _ in range(2)]
    await time.all_sent()
    async with connected(databases.auth_url) as auth:
        await auth.execute("UPDATE identities SET email = $1 || '@example.net'", "victim")

    for name in (names * CAP)[: CAP - 1]:
        await password_accepted(auth_app, name)
    async with connected(databases.admin_url) as admin, admin.transaction():
        await eventually(lambda: _all_reported(admin))  # which would wait as well
        await admin.execute("LOCK TABLE auth.challenges IN SHARE MODE")  # who has counted waits here
        last = [
            asyncio.create_task(auth_app.log_in(name, address=f"192.0.2.{number}")) for number, name in enumerate(names)
        ]

        async def both_wait() -> bool:
            return bool(await admin.fetchval(WAITING) >= len(last))

        await eventually(both_wait)
    answers = await asyncio.gather(*last)
    await time.all_sent()

    assert Counter(answer.status_code for answer in answers) == {200: 1, 429: 1}
    assert len([mail for mail in mails.mails_to(VICTIM) if mail.has_code]) == CAP


async def _all_reported(admin: asyncpg.Connection) -> bool:
    return not await admin.fetchval("SELECT count(*) FROM auth.challenges WHERE code_outcome IS NULL")
