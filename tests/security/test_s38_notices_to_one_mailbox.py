"""S38: a mailbox gets its share of notices and no more, whoever causes them; and no mail holds a stranger's words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.auth.accounts.notices import Notices
from shared.messaging.notice_events import NoticeWord
from tests.builders import OTHER_PASSWORD, PASSWORD, full_width, registered, registration
from tests.composed import USERS, AuthApp, UsersApp
from tests.polling import eventually
from tests.security.mailbox import (
    A_DAY,
    KEPT,
    TEN_MINUTES,
    VICTIM,
    Person,
    Time,
    auth_app,
    bus,
    mails,
    owner,
    time,
    toggle,
    told,
    users_app,
)
from tests.security.somebody import password_accepted, register
from tests.servers.mail import MailSink

__all__ = ("auth_app", "bus", "mails", "owner", "time", "users_app")


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
    await owner.forget_password(VICTIM, OTHER_PASSWORD)
    await owner.move("thief@example.org")
    await time.all_sent()

    once = dict.fromkeys(("password_changed", "password_reset", "email_change_requested", "email_changed"), 1)
    assert told(mails) - before == once
    assert told(mails).total() <= A_DAY


async def test_a_day_has_its_share_of_notices_of_all_words_and_services_and_the_next_day_the_same_again(
    owner: Person, mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    username = (await registered(users_app.parts, email="other@example.net")).username
    await password_accepted(auth_app, username)

    async def a_round(number: int) -> None:
        await toggle(owner)
        await owner.change_password((OTHER_PASSWORD, PASSWORD)[number % 2])
        await owner.move("elsewhere@example.org")
        await owner.move(VICTIM)

    for number in range(4):
        await a_round(number)
        await time.passes(TEN_MINUTES)
    assert told(mails).total() == A_DAY - KEPT
    for _ in range(3):
        assert (await auth_app.log_in(username, "wrong")).status_code in {400, 429}
        await auth_app.parts.login.attempts._notices.close()
        await time.passes(TEN_MINUTES)
    assert told(mails, "other@example.net") == {"wrong_passwords": 1}

    await time.passes(timedelta(days=1))
    await a_round(0)
    await time.all_sent()
    assert told(mails).total() == A_DAY - KEPT + 5


async def test_each_kind_of_notice_of_auth_has_places_of_its_own_whatever_the_others_do(
    owner: Person, mails: MailSink, time: Time, auth_app: AuthApp
) -> None:
    notices = Notices(auth_app.parts.settings, auth_app.parts.database)
    await time.all_sent()  # auth knows the account
    once: list[NoticeWord] = ["passkey_cloned", "factors_reset", "codes_off", "wrong_passwords"]
    twice: list[NoticeWord] = ["passkey_added", "passkey_removed", "totp_added", "totp_removed", "recovery_codes_made"]

    for _ in range(4):
        async with auth_app.parts.database.transaction() as connection:
            for word in (*once, *twice, "recovery_code_used"):
                await notices.tell_owner(connection, owner.account, word)
        await time.passes(TEN_MINUTES)

    assert told(mails) == {"recovery_code_used": 3} | dict.fromkeys(once, 1) | dict.fromkeys(twice, 2)


async def test_an_address_handed_round_accounts_is_told_no_more_than_one_accounts_address(
    mails: MailSink, time: Time, users_app: UsersApp
) -> None:
    for _ in range(4):
        person = Person(users_app, (await registered(users_app.parts, email=VICTIM)).id, mails)
        await toggle(person)
        await person.move(f"{uuid4().hex}@example.org")
        await time.all_sent()

    words = ("two_factor_on", "two_factor_off", "email_change_requested", "email_changed")
    assert told(mails) == dict.fromkeys(words, 1)


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
            await users_app.http.patch(f"{USERS}/", headers=owner.headers, json={field: text}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), ascii(text)


async def test_no_mail_holds_what_the_person_is_called(
    mails: MailSink, time: Time, auth_app: AuthApp, users_app: UsersApp
) -> None:
    """A stranger who registers with somebody's address writes nothing into the mails that go there."""
    names = {"name": "YourAccountWasHacked", "lastname": "CallUsNow", "username": "GetYourMoneyBack"}
    account = await register(users_app, email=VICTIM, is_2fa=True, **names)
    login = (await password_accepted(auth_app, account["username"])).json()
    await auth_app.verify_otp(login["temporary_token"], await mails.code_for(VICTIM))
    person = Person(users_app, UUID(account["id"]), mails)
    await eventually(person.is_proved)
    await toggle(person)
    await person.change_password(OTHER_PASSWORD)
    await person.forget_password(VICTIM, PASSWORD)
    await time.all_sent()

    sent = [mail.message.as_string() + mail.text for mail in mails.mails_to(VICTIM)]
    assert len(sent) == 5  # a code, two factors off, the password; a code, the new password
    assert not [mail for mail in sent for name in names.values() if name.casefold() in mail.casefold()]
