"""The correlation id goes with a request through outbox and broker into the mail; it is on every answer."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.inboxes import MailHog, MailInbox
from tests.stacks.stack import Stack
from tests.stacks.standalone import Standalone
from tests.stacks.steps import register, submit_password


async def test_the_id_of_the_request_is_on_the_mail_or_in_the_log_of_its_delivery(stack: Stack) -> None:
    person = await register(stack, is_2fa=True)
    request_id = f"request-{uuid.uuid4()}"

    form = {"username": person.username, "password": person.password}
    answer = await stack.http.post("/api/v1/auth/token", data=form, headers={"X-Request-ID": request_id})
    await stack.inbox.wait_for_code(person.email)

    assert answer.headers["x-request-id"] == request_id
    if isinstance(stack.inbox, MailInbox | MailHog):
        [mail] = stack.inbox.mails_to(person.email)
        assert mail.message["X-Correlation-Id"] == request_id
    else:
        assert isinstance(stack, Standalone)
        log = stack.state / "login2fa.log"
        await eventually(lambda: request_id in deliveries(log))  # the code is in its file before the log tells


def deliveries(log: Path) -> list[str]:
    lines = map(json.loads, log.read_text().splitlines())
    return [line["correlation_id"] for line in lines if line.get("outcome") == "delivered"]


async def test_a_request_without_one_gets_one(stack: Stack) -> None:
    person = await register(stack)

    ids = {(await submit_password(stack, person)).headers["x-request-id"] for _ in range(2)}

    assert len(ids) == 2
    assert all(uuid.UUID(each) for each in ids)


@pytest.mark.parametrize("offered", ["", "a b", "a" * 65, "x;y", "\u00e9", "<x>", "-x", "%0d%0aSet-Cookie:x"])
async def test_an_id_that_could_do_harm_is_replaced(stack: Stack, offered: str) -> None:
    headers = httpx.Headers([(b"X-Request-ID", offered.encode("latin-1"))])

    answer = await stack.http.get("/.well-known/jwks.json", headers=headers)

    assert answer.headers["x-request-id"] != offered
    assert uuid.UUID(answer.headers["x-request-id"])
