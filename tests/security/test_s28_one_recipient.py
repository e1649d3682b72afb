"""S28: nothing in an address or a name makes a second recipient, a header or a code, on the wire to the mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx
import pytest
from aiosmtplib.email import flatten_message, quote_address
from hypothesis import given
from hypothesis import strategies as st

from services.notifier import app as notifier
from services.notifier.channel import AccountCode, Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.account_code import AccountCodeMail
from services.notifier.mails.login_code import LoginCodeMail
from services.users.accounts import valid_email
from services.users.problems import EmailNotValid
from shared.messaging.memory import MemoryBus
from tests.builders import full_width, registration
from tests.composed import USERS, AuthApp, Keys, UsersApp, bearer, notifier_settings, running_users, users_settings
from tests.security.somebody import password_accepted, register
from tests.servers.databases import Databases
from tests.servers.mail import CODE, MailSink, Received

VICTIM = "victim@example.net"
LONGEST_LINE = 998  # RFC 5322 section 2.1.1, in octets without CRLF
HEADERS_IN_ORDER = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Event-Id", "X-Correlation-Id", "X-Purpose"),
    *("MIME-Version", "Content-Type"),
]
HEADERS = set(HEADERS_IN_ORDER)

LINE_ENDS = ("\r\n", "\n", "\r", "\x85", "\u2028", "\u2029", "\v", "\f", "\0", "\x1c")
BREAKS_A_LINE = [f"Ann{end}Bcc: {VICTIM}" for end in LINE_ENDS]
NOT_ONE_ADDRESS = [
    *(f"ann@example.org{between}{VICTIM}" for between in (", ", ",", ";", " ", "@", "\uff0c", "\ufe50", "> RCPT TO:<")),
    *(f"ann@example.org{end}Bcc: {VICTIM}" for end in LINE_ENDS),
    *(f"ann{within}@example.org" for within in (*LINE_ENDS, " ", ",", ":", f"({VICTIM})", f"(,{VICTIM})")),
    *(f"group: ann@example.org, {VICTIM};", "group:;", "undisclosed-recipients:;", f"@example.com:{VICTIM}"),
    *(f'"{local}"@example.org' for local in ("ann", "ann, bob", f"{VICTIM}, ann", 'a\\"b', "")),
    *(
        "Ann <ann@example.org>",
        "<ann@example.org>",
        "ann@example.org>",
        f"ann@example.org({VICTIM})",
        "ann@[127.0.0.1]",
    ),
    # Harmless to look at, and something else after NFKC.
    *(full_width("<ann@example.org>"), "ann@ex\u2100mple.org", full_width("=?utf-8?q?ann=2C?=") + "@example.org"),
    # Mail programs decode these (RFC 2047): to an address elsewhere, a comma, a line break.
    *(f"=?utf-8?{text}?=@example.org" for text in ("q?victim=40example.net=3E", "q?ann=2C", "q?ann=0A", "b?dmljdGlt")),
    "=?x?q?a?=@example.org",
]

# Each is one address, though not all programs take it for one.
UNUSUAL = [
    *("o'brien+codes@example.org", "a!#$%&'*+-/=^_`{|}~b@example.org", "victim%example.net@example.org"),
    *("example.net!victim@example.org", "-rf@example.org", "to=victim@example.org", "ann@b\u00fccher.example.org"),
    *(f"{'a' * 64}@{'b' * 60}.{'c' * 60}.example.org", full_width("ann@wide.example.org")),
]
UNUSUAL_NAMES = [
    *("Ann, victim", "Ann <victim>", "Bcc: victim", "=?utf-8?q?=0D=0ABcc:_victim=40example.net?=", "\\r\\n000000"),
    *("%0d%0a000000", ".", "RSET", "{{ code }}", "{% raw %}", "000000", "--===============", '"' * 100),
    *("\U00020000" * 100, "\u00e9" * 100),
]


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    # Each address that somebody changes to is a guess of which are taken.
    settings = users_settings(databases, keys, jwks_url, name_guesses=10_000)
    async with running_users(settings, keys, bus) as app:
        yield app


@pytest.fixture
async def mail_server(
    bus: MemoryBus, keys: Keys, auth_app: AuthApp, users_app: UsersApp, mail_sink: MailSink
) -> AsyncIterator[MailSink]:
    """Where the codes go of everybody who logs in: all three services are there."""
    # A probe is a connection among those of the mails.
    with patch.object(notifier, "signs_of_life", lambda *_: nullcontext()):
        async with notifier.running(notifier_settings(keys, smtp_port=mail_sink.port), bus):
            yield mail_sink


async def mailed(auth: AuthApp, users: UsersApp, server: MailSink, **fields: Any) -> Received:
    """The one mail that a registration with these fields and a login lead to."""
    before = len(server.received)
    account = await register(users, is_2fa=True, **fields)
    await password_accepted(auth, account["username"])
    await server.wait_for(account["email"])
    [mail] = server.received[before:]
    assert mail.recipients == [account["email"]]
    assert [mail.message["To"]] == mail.message.get_all("To") == [account["email"]]
    return mail


def recipients_on_the_wire(server: MailSink) -> list[str]:
    return [line for line in server.heard if line.upper().startswith("RCPT")]


async def changed(users: UsersApp, person: dict[str, str], **fields: str) -> httpx.Response:
    return await users.http.patch(f"{USERS}/", headers=person, json=fields)


@pytest.fixture
async def person(auth_app: AuthApp, users_app: UsersApp, mail_server: MailSink) -> dict[str, str]:
    """Has had one mail, which proves the address."""
    account = await register(users_app)
    await mail_server.wait_for(account["email"])
    return bearer((await password_accepted(auth_app, account["username"])).json()["access_token"])


async def test_what_is_not_one_plain_address_is_refused_and_no_mail_server_is_asked(
    users_app: UsersApp, person: dict[str, str], mail_server: MailSink
) -> None:
    for address in NOT_ONE_ADDRESS:
        answers = [
            await users_app.http.post(f"{USERS}/registration", json=registration(email=address)),
            await changed(users_app, person, email=address),
        ]
        for answer in answers:
            refusal = (answer.status_code, answer.json()["code"])
            assert refusal in {(400, "email_not_valid"), (422, "invalid_request")}, ascii(address)
    assert len(recipients_on_the_wire(mail_server)) == 1  # of the person, before


async def test_an_unusual_address_is_one_recipient_and_one_header(
    auth_app: AuthApp, users_app: UsersApp, mail_server: MailSink
) -> None:
    mails = [await mailed(auth_app, users_app, mail_server, email=address) for address in UNUSUAL]

    assert recipients_on_the_wire(mail_server) == [f"RCPT TO:<{mail.recipients[0]}>" for mail in mails]


@pytest.mark.parametrize("field", ["name", "lastname", "username"])
async def test_a_name_that_breaks_a_line_is_refused(
    users_app: UsersApp, person: dict[str, str], mail_server: MailSink, field: str
) -> None:
    for name in BREAKS_A_LINE:
        for answer in (
            await users_app.http.post(f"{USERS}/registration", json=registration(**{field: name})),
            await changed(users_app, person, **{field: name}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), ascii(name)
    assert len(recipients_on_the_wire(mail_server)) == 1  # of the person, before


async def test_a_name_makes_no_header_and_no_second_code(
    auth_app: AuthApp, users_app: UsersApp, mail_server: MailSink
) -> None:
    for name in UNUSUAL_NAMES:
        mail = await mailed(auth_app, users_app, mail_server, name=name)

        assert set(mail.message) == HEADERS, name
        assert len(CODE.findall(mail.text)) == 1, name
        assert max(len(line) for line in flatten_message(mail.message).splitlines()) <= LONGEST_LINE, name
    assert len(recipients_on_the_wire(mail_server)) == len(UNUSUAL_NAMES)


# --- whatever there is


def heads(**fields: str) -> list[list[bytes]]:
    """The lines of the headers, as they go over the wire: of a mail with a login code, of one with an account code."""
    now, sender = datetime.now(UTC), Mailbox("login@example.com")
    values: dict[str, Any] = {
        "event_id": str(uuid4()),
        "correlation_id": "request-1",
        "email": "ann@example.org",
        "requested_at": now,
        "expires_at": now + timedelta(minutes=4),
        **fields,
    }
    mails = [
        LoginCodeMail(sender=sender, subject="Your login code", site="Acme").compose(Delivery(**values, code="519273")),
        AccountCodeMail(sender=sender, site="Acme").compose(AccountCode(**values, purpose="reset", code="K7X9M2Q4TZ")),
    ]
    return [mail.partition(b"\r\n\r\n")[0].split(b"\r\n") for mail in mails]


@given(correlation_id=st.text(max_size=255) | st.sampled_from(BREAKS_A_LINE))
def test_whatever_a_message_of_the_broker_has_for_a_correlation_id_makes_no_header(correlation_id: str) -> None:
    for head in heads(correlation_id=correlation_id):
        assert [line.partition(b":")[0].decode() for line in head] == HEADERS_IN_ORDER


LOCAL_PARTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=70)
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)


@given(local=LOCAL_PARTS | st.text(min_size=1), labels=st.lists(LABELS, min_size=1, max_size=6))
def test_an_address_that_is_accepted_is_the_whole_header_and_the_whole_recipient(local: str, labels: list[str]) -> None:
    try:
        address = valid_email(f"{local}@{'.'.join([*labels, 'org'])}")
    except EmailNotValid:
        return

    for head in heads(email=address):
        assert [line for line in head if line.startswith(b"To:")] == [f"To: {address}".encode()]
    assert quote_address(address) == f"<{address}>"
