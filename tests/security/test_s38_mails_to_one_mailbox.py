"""S38: a mailbox gets its share of mails and no more, whoever causes them and over however many accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.notifier import app as notifier
from services.notifier.notice_email import TEXTS
from shared.broker.memory import MemoryBus
from shared.events import NoticeWord
from tests.builders import OTHER_PASSWORD, PASSWORD, full_width, registered, registration
from tests.composed import USERS, AuthApp, Keys, UsersApp, auth_settings, notifier_settings, running_auth
from tests.polling import eventually
from tests.security.somebody import password_accepted, register
from tests.security.waiting import WAITING
from tests.servers.databases import Databases, connected
from tests.servers.mail import MailSink

CAP, A_DAY, KEPT = 6, 10, 3  # codes an hour; notices a day; of these auth's two, and a deletion's
TEN_MINUTES = timedelta(minutes=10)
VICTIM = "victim@example.net"

_EARLIER = "UPDATE {}.notices SET told_at = ARRAY(SELECT at - $1::interval FROM unnest(told_at) AS at)"
_UNSENT = "SELECT (SELECT count(*) FROM auth.outbox) + (SELECT count(*) FROM users.outbox)"
_WORDS = {text[0]: word for word, text in TEXTS.items()}


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """All three services are on it."""
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    settings = auth_settings(databases, keys, otp_codes_per_hour=CAP, throttle_free=1, throttle_first_wait=0)
    async with running_auth(settings, bus) as app:
        yield app


@pytest.fixture
async def mails(
    bus: MemoryBus, keys: Keys, auth_app: AuthApp, users_app: UsersApp, mail_sink: MailSink
) -> AsyncIterator[MailSink]:
    async with notifier.running(notifier_settings(keys, smtp_port=mail_sink.port), bus):
        yield mail_sink


class Time:
    """Everything is sent, and then so much time passes."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin

    async def all_sent(self) -> None:
        async def empty() -> bool:
            return not await self._admin.fetchval(_UNSENT)

        await eventually(empty)

    async def passes(self, time: timedelta) -> None:
        await self.all_sent()
        for schema in ("auth", "users"):
            await self._admin.execute(_EARLIER.format(schema), time)


@pytest.fixture
async def time(databases: Databases) -> AsyncIterator[Time]:
    async with connected(databases.admin_url) as admin:
        yield Time(admin)


class Person:
    """Of one session, which is kept whatever it changes."""

    def __init__(self, users: UsersApp, account: UUID) -> None:
        self._users, self._account = users, account
        self._session, self._epoch = uuid4(), 0

    @property
    def _headers(self) -> dict[str, str]:
        return self._users.as_(self._account, session=self._session, epoch=self._epoch)

    async def patch(self, **fields: Any) -> None:
        await self._done("PATCH", f"{USERS}/", fields)

    async def change_password(self, password: str) -> None:
        await self._done("POST", f"{USERS}/change-password", {"password": password, "confirm_password": password})

    async def _done(self, method: str, path: str, body: dict[str, Any]) -> None:
        """A database that has no time at the moment says so, and is asked again."""

        async def answered() -> bool:
            answer = await self._users.http.request(method, path, headers=self._headers, json=body)
            assert answer.status_code == 200, answer.text
            return True

        await eventually(answered)


@pytest.fixture
async def owner(users_app: UsersApp, mails: MailSink) -> Person:
    return Person(users_app, (await registered(users_app.parts, email=VICTIM)).id)


async def toggle(person: Person, times: int = 1) -> None:
    for _ in range(times):
        await person.patch(is_2fa=True)
        await person.patch(is_2fa=False)


def told(mails: MailSink, address: str = VICTIM) -> Counter[NoticeWord]:
    return Counter(_WORDS[str(mail.message["Subject"])] for mail in mails.mails_to(address) if not mail.has_code)


async def test_two_factors_turned_on_and_off_again_and_again_are_one_mail_of_each_in_ten_minutes(
    owner: Person, mails: MailSink, time: Time
) -> None:
    await toggle(owner, 10)
    await time.all_sent()
    assert told(mails) == {"two_factor_on": 1, "two_factor_off": 1}

    await time.passes(TEN_MINUTES - timedelta(seconds=30))
    await toggle(owner)
    await time.passes(timedelta(seconds=30))
    assert told(mails) == {"two_factor_on": 1, "two_factor_off": 1}

    await owner.patch(is_2fa=True)
    await time.all_sent()
    assert told(mails) == {"two_factor_on": 2, "two_factor_off": 1}


async def test_passwords_changed_again_and_again_are_one_mail_in_ten_minutes(
    owner: Person, mails: MailSink, time: Time
) -> None:
    for number in range(10):
        await owner.change_password((PASSWORD, OTHER_PASSWORD)[number % 2])
    await time.all_sent()

    assert told(mails) == {"password_changed": 1}


async def test_whoever_causes_all_the_notices_of_a_day_silences_none_that_takes_the_account_from_its_owner(
    owner: Person, mails: MailSink, time: Time
) -> None:
    await owner.change_password(OTHER_PASSWORD)  # the owner's own, in the morning
    for _ in range(5):
        await toggle(owner)
        await time.passes(TEN_MINUTES)
    before = told(mails)

    await owner.change_password(PASSWORD)
    await owner.patch(email="thief@example.org")
    await time.all_sent()

    assert told(mails) - before == {"password_changed": 1, "email_changed": 1}
    assert told(mails).total() <= A_DAY


async def test_a_day_has_ten_notices_of_all_words_and_services_and_the_next_day_ten_more(
    owner: Person, mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    username = (await register(users_app, email="other@example.net"))["username"]
    await password_accepted(auth_app, username)

    async def a_round(number: int) -> None:
        await toggle(owner)
        await owner.change_password((OTHER_PASSWORD, PASSWORD)[number % 2])
        await owner.patch(email="elsewhere@example.org")
        await owner.patch(email=VICTIM)

    for number in range(4):
        await a_round(number)
        await time.passes(TEN_MINUTES)
    assert told(mails).total() == A_DAY - KEPT
    for _ in range(3):
        assert (await auth_app.log_in(username, "wrong")).status_code in {400, 429}
        await auth_app.parts.throttle._notices.close()
        await time.passes(TEN_MINUTES)
    assert told(mails, "other@example.net") == {"wrong_passwords": 1}

    await time.passes(timedelta(days=1))
    await a_round(0)
    await time.all_sent()
    assert told(mails).total() == A_DAY - KEPT + 4


async def test_an_address_handed_round_accounts_is_told_no_more_than_one_accounts_address(
    mails: MailSink, time: Time, users_app: UsersApp
) -> None:
    for _ in range(4):
        person = Person(users_app, (await registered(users_app.parts, email=VICTIM)).id)
        await toggle(person)
        await person.patch(email=f"{uuid4().hex}@example.org")
        await time.all_sent()

    assert told(mails) == {"two_factor_on": 1, "two_factor_off": 1, "email_changed": 1}


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
        await Person(users_app, account.id).patch(email=f"{uuid4().hex}@example.org")
        await time.all_sent()

    codes = [mail for mail in mails.received if mail.has_code and mail.recipients[0].casefold() == VICTIM]
    assert answers == {200: CAP, 429: 3 * CAP}
    assert len(codes) == CAP


async def test_an_account_that_goes_from_address_to_address_gets_no_more_codes_than_one_that_stays(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    account = await registered(users_app.parts, email=VICTIM, is_2fa=True)
    person, answers = Person(users_app, account.id), Counter[int]()
    for number in range(3):
        await time.all_sent()
        answers.update(await codes_asked_for(auth_app, account.username, CAP - 1))
        await person.patch(email=f"victim{number}@example.net")
        person = Person(users_app, account.id)
        person._epoch = number + 1

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


async def test_of_changes_at_once_one_is_told(owner: Person, mails: MailSink, time: Time) -> None:
    changes: list[Callable[[], Awaitable[None]]] = [lambda: owner.patch(is_2fa=True)]
    await asyncio.gather(*(change() for change in changes * 6))
    await time.all_sent()

    assert told(mails) == {"two_factor_on": 1}


LINKS = ["http://evil.example", "www.evil.example", "confirm at evil@example.org", "a\nb", "WWW.Evil", "ftp://x"]


@pytest.mark.parametrize("field", ["name", "lastname"])
async def test_a_name_with_a_link_or_an_address_is_refused_in_any_width_and_case(
    users_app: UsersApp, owner: Person, field: str
) -> None:
    small = [text.replace("@", "\ufe6b").replace(":", "\ufe55") for text in LINKS[:3]]
    for text in (*LINKS, *(full_width(text) for text in ("WWW.evil", "ftp://x", "a@b")), *small[::2], "www\u3002evil"):
        for answer in (
            await users_app.http.post(f"{USERS}/registration", json=registration(**{field: text})),
            await users_app.http.patch(f"{USERS}/", headers=owner._headers, json={field: text}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), ascii(text)


async def test_no_mail_holds_what_the_person_is_called(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    """A stranger who registers with somebody's address writes nothing into the mails that go there."""
    names = {"name": "YourAccountWasHacked", "lastname": "CallUsNow", "username": "GetYourMoneyBack"}
    account = await register(users_app, email=VICTIM, is_2fa=True, **names)
    await password_accepted(auth_app, account["username"])
    person = Person(users_app, UUID(account["id"]))
    await toggle(person)
    await person.change_password(OTHER_PASSWORD)
    await time.all_sent()

    sent = [mail.message.as_string() + mail.text for mail in mails.mails_to(VICTIM)]
    assert len(sent) == 3  # a code, two factors off, the password
    assert not [mail for mail in sent for name in names.values() if name.casefold() in mail.casefold()]
