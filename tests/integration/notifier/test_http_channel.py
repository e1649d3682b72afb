"""Mails by a service that takes requests: what it gets, and what becomes of a mail after each answer."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from services.doctor.mail_server import mail_server
from services.notifier.http import HttpChannel
from shared.messaging.bus import Done, GiveUp, Handler, Retry
from tests.builders import delivery
from tests.composed import Keys, notifier_settings
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.servers.ports import free_ports
from tests.servers.upstream import Answer, Upstream, upstream

LogLines = Callable[[], list[dict[str, Any]]]

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples" / "mail_http"
FORM = "Content-Type: application/x-www-form-urlencoded"
SENDER = {"mail_from": "Acme Größe <login@acme.example>", "site_name": "Αθήνα", "mail_language": "de"}


@pytest.fixture
def service() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


def settings(service: Upstream, body: str = "postmark.json.j2", **more: Any) -> dict[str, Any]:
    return {
        "notifier_channel": "http",
        "mail_http_url": f"http://127.0.0.1:{service.port}/send",
        "mail_http_headers": "X-Server-Token: not-a-real-token",
        "mail_http_body": EXAMPLES / body,
    } | more


@pytest.fixture
async def notifier(keys: Keys, service: Upstream) -> AsyncIterator[Handler]:
    async with running_notifier(keys, **settings(service)) as handler:
        yield handler


async def test_it_is_posted_with_our_headers_and_the_events_id_as_its_idempotency_key(
    notifier: Handler, requested: Requested, service: Upstream
) -> None:
    event = requested(email="ann@example.org", code="123456")
    assert await notifier(delivery(event)) == Done()
    seen = service.last()
    assert (seen.method, seen.target) == ("POST", "/send")
    assert seen.header("x-server-token") == ["not-a-real-token"]
    assert seen.header("idempotency-key") == [str(event.event_id)]
    assert seen.header("content-type") == ["application/json"]
    body = json.loads(seen.body)
    assert (body["To"], body["Tag"]) == ("ann@example.org", "login")
    assert "123456" in body["TextBody"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(202, Done), (400, GiveUp), (422, GiveUp), (408, Retry), (429, Retry), (500, Retry), (503, Retry),
     (401, Retry), (403, Retry), (404, Retry), (405, Retry), (415, Retry), (302, Retry), (None, Retry)],
)  # fmt: skip
async def test_what_becomes_of_a_mail_after_each_answer(
    notifier: Handler, requested: Requested, service: Upstream, status: int | None, outcome: type
) -> None:
    elsewhere = {"Location": f"http://127.0.0.1:{service.port}/elsewhere"}
    service.answers = lambda _seen: Answer(status, headers=elsewhere if status == 302 else {})
    assert isinstance(await notifier(delivery(requested())), outcome)
    assert {seen.target for seen in service.seen} == {"/send"}, "a redirect is not followed"


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer(429, headers={"Retry-After": "30"}), "asked us to wait"), (Answer(403), "paused after")],
)
async def test_after_a_word_to_wait_and_after_refused_credentials_the_service_is_left_alone(
    notifier: Handler, requested: Requested, service: Upstream, answer: Answer, said: str
) -> None:
    service.answers = lambda _seen: answer
    await notifier(delivery(requested()))
    outcome = await notifier(delivery(requested()))
    assert isinstance(outcome, Retry)
    assert said in outcome.reason
    assert len(service.seen) == 1


async def test_neither_address_nor_code_nor_header_is_in_the_log_or_the_reason(
    notifier: Handler, requested: Requested, service: Upstream, log_lines: LogLines
) -> None:
    service.answers = lambda seen: Answer(400, body=b"can not send to ann@example.org: " + seen.body[-200:])
    outcome = await notifier(delivery(requested(email="ann@example.org", code="123456")))
    assert isinstance(outcome, GiveUp)
    text = outcome.reason + json.dumps(log_lines())
    assert [secret for secret in ("ann@example.org", "123456", "not-a-real-token") if secret in text] == []


def postmark(body: bytes) -> tuple[str, str, str, str]:
    sent = json.loads(body)
    return sent["From"], sent["To"], sent["Subject"], sent["TextBody"]


def sendgrid(body: bytes) -> tuple[str, str, str, str]:
    sent = json.loads(body)
    (to,) = sent["personalizations"][0]["to"]
    sender = f"{sent['from']['name']} <{sent['from']['email']}>"
    return sender, to["email"], sent["subject"], sent["content"][0]["value"]


def mailgun(body: bytes) -> tuple[str, str, str, str]:
    sent = parse_qs(body.decode(), strict_parsing=True)
    return sent["from"][0], sent["to"][0], sent["subject"][0], sent["text"][0]


@pytest.mark.parametrize(
    ("body", "headers", "read"),
    [("postmark.json.j2", "", postmark), ("sendgrid.json.j2", "", sendgrid), ("mailgun.form.j2", FORM, mailgun)],
)
async def test_an_example_has_the_shape_of_its_service_in_any_script(
    keys: Keys, requested: Requested, service: Upstream, body: str, headers: str, read: Callable[[bytes], Any]
) -> None:
    async with running_notifier(keys, **settings(service, body, mail_http_headers=headers, **SENDER)) as notifier:
        assert await notifier(delivery(requested(email="ann+x@example.org", code="123456"))) == Done()
    sender, to, subject, text = read(service.last().body)
    assert (sender, to, subject) == (
        "Acme Größe <login@acme.example>",
        "ann+x@example.org",
        "[Αθήνα] Dein Anmeldecode",
    )
    assert "123456" in text


async def test_the_whole_mail_can_be_handed_over_as_it_is(keys: Keys, requested: Requested, service: Upstream) -> None:
    async with running_notifier(keys, **settings(service, "ses.json.j2")) as notifier:
        assert await notifier(delivery(requested(code="123456"))) == Done()
    sent = json.loads(service.last().body)
    assert b"\r\n123456\r\n" in b64decode(sent["Content"]["Raw"]["Data"])


@asynccontextmanager
async def channel(keys: Keys, **of: Any) -> AsyncIterator[HttpChannel]:
    made = HttpChannel(notifier_settings(keys, **of))
    yield made
    await made.close()


async def test_a_probe_sends_no_mail_and_doctor_says_what_it_heard(keys: Keys, service: Upstream) -> None:
    service.answers = lambda _seen: Answer(405)
    async with channel(keys, **settings(service)) as asked:
        await asked.probe()
        assert asked.reach.good
    assert [seen.method for seen in service.seen] == ["HEAD"]

    (good,) = await mail_server(notifier_settings(keys, **settings(service)))
    (nobody,) = free_ports(1)
    url = f"http://127.0.0.1:{nobody}/send"
    (bad,) = await mail_server(notifier_settings(keys, **settings(service, mail_http_url=url)))
    assert (good.level, bad.level, bad.where) == ("ok", "fail", f"MAIL_HTTP_URL ({url})")
