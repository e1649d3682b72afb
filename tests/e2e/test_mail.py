"""The mail as people read it in a test inbox, where bodies are shown as they were sent."""

from __future__ import annotations

from email.message import EmailMessage
from typing import cast

import pytest

from tests.servers.mail import Received
from tests.stacks.inboxes import MailHog, MailInbox
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import challenged, register, registration, somebody

pytestmark = pytest.mark.parametrize("deployment", ["apart"], indirect=True)


def the_mail_to(stack: Stack, person: Person) -> Received:
    assert isinstance(stack.inbox, MailInbox | MailHog)
    [mail] = stack.inbox.mails_to(person.email)
    return mail


async def mail_with_code(stack: Stack) -> tuple[Received, str]:
    person = await register(stack, is_2fa=True)
    _, code = await challenged(stack, person)
    mail = the_mail_to(stack, person)
    assert mail.recipients == [person.email]
    assert mail.message["To"] == person.email
    return mail, code


async def test_the_text_comes_first_in_seven_bits_with_the_code_alone_on_its_line(stack: Stack) -> None:
    mail, code = await mail_with_code(stack)

    text, html = cast("list[EmailMessage]", list(mail.message.iter_parts()))
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert (text["Content-Transfer-Encoding"], html["Content-Transfer-Encoding"]) == ("7bit", "7bit")
    assert code in str(text.get_payload()).splitlines()
    assert code in str(html.get_payload())


async def test_the_code_is_in_no_header(stack: Stack) -> None:
    mail, code = await mail_with_code(stack)

    by_chance = {"Message-ID", "X-Event-Id", "X-Correlation-Id", "Content-Type"}  # ids may hold any six digits
    assert by_chance <= set(mail.message.keys())
    assert all(code not in value for name, value in mail.message.items() if name not in by_chance)
    assert mail.message["Subject"].isascii()
    assert mail.message["X-Event-Id"] in mail.message["Message-ID"]


async def test_a_name_in_another_script_leaves_the_text_readable(stack: Stack) -> None:
    person = somebody(is_2fa=True)
    fields = registration(person, name="Zo\u00eb \u7530\u4e2d")
    assert (await stack.http.post("/api/v1/users/registration", json=fields)).status_code == 201

    _, code = await challenged(stack, person)

    mail = the_mail_to(stack, person)
    text, _ = cast("list[EmailMessage]", list(mail.message.iter_parts()))
    assert text["Content-Transfer-Encoding"] == "7bit"
    assert code in str(text.get_payload()).splitlines()


async def test_a_name_is_no_markup(stack: Stack) -> None:
    person = somebody(is_2fa=True)
    fields = registration(person, name="<img src=x>")
    assert (await stack.http.post("/api/v1/users/registration", json=fields)).status_code == 201

    await challenged(stack, person)

    mail = the_mail_to(stack, person)
    _, html = cast("list[EmailMessage]", list(mail.message.iter_parts()))
    assert "<img" not in str(html.get_payload())
