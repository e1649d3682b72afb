"""S36, the other half of its permissions: they are enough. Everything works with exactly these users of the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.bus import TopologyMismatch
from shared.messaging.topology import OTP_DELIVERY
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.security.test_s36_broker_permissions import urls
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.stacks.processes import Processes, processes
from tests.stacks.steps import bearer, log_in, register, temporary_token

__all__ = ("urls",)

PATIENCE = 60.0


@pytest.fixture
async def stack(
    databases: Databases, urls: dict[str, str], mail_sink: MailSink, tmp_path: Path
) -> AsyncIterator[Processes]:
    own = {process: urls[process] for process in ("auth", "users", "notifier")}
    async with processes(databases, "amqp://nobody:nothing@127.0.0.1:1/", mail_sink, tmp_path, **own) as stack:
        yield stack


async def test_a_new_account_a_login_a_retry_a_logout_and_a_dead_letter_with_these_users(
    stack: Processes, urls: dict[str, str], mail_sink: MailSink
) -> None:
    person = await register(stack, is_2fa=True)  # auth hears of the account

    mail_sink.refuse("450 Try later", recipient=person.email, times=1)
    tokens = await log_in(stack, person)  # its code came by way of a retry queue

    assert (await stack.http.post("/api/v1/auth/logout", headers=bearer(tokens.access))).is_success

    async def forgotten_by_users() -> bool:
        return (await stack.http.get("/api/v1/users/me", headers=bearer(tokens.access))).status_code == 401

    await eventually(forgotten_by_users, PATIENCE)

    mail_sink.refuse("550 No such mailbox", recipient=person.email)
    await temporary_token(stack, person)

    async def given_up() -> int:
        return len(await dead_letters.list(urls["operator"], OTP_DELIVERY.queue))

    await eventually(given_up, PATIENCE)
    mail_sink.accept()
    mails = len(mail_sink.mails_to(person.email))
    assert await dead_letters.replay(urls["operator"], OTP_DELIVERY.queue) == 1
    await eventually(lambda: len(mail_sink.mails_to(person.email)) > mails, PATIENCE)


async def test_a_process_with_the_user_of_another_says_so_and_does_not_start(urls: dict[str, str]) -> None:
    bus = AmqpBus(urls["users"])
    with pytest.raises(TopologyMismatch, match="does not permit"):
        await bus.consume(OTP_DELIVERY.queue, Recorder(), concurrency=1)
    with pytest.raises(TopologyMismatch, match="does not permit"):
        await bus.publish(otp_message())
    await bus.close()
