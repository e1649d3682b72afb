"""`login2fa doctor --mail`: one mail goes the whole way, and what becomes of it is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.doctor.findings import Finding
from services.doctor.mail import mail
from services.notifier import app as notifier
from services.users import code_limits
from services.users.settings import UsersSettings
from shared.messaging.memory import MemoryBus
from shared.web.problems import TooManyRequests
from tests.composed import Keys, jwks_url, keys, notifier_settings, running_users, users_settings
from tests.fakes import StandInBus
from tests.servers.databases import Databases
from tests.servers.mail import MailSink

__all__ = ("jwks_url", "keys")

ADDRESS = "ops@login2fa.example"


@dataclass
class Way:
    settings: UsersSettings
    steps: list[str] = field(default_factory=list)

    async def sent(self, address: str = ADDRESS) -> Finding:
        return await mail(self.settings, address, self.steps.append)


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = StandInBus()
    yield bus
    await bus.close()


@pytest.fixture
async def way(
    databases: Databases, keys: Keys, jwks_url: str, bus: MemoryBus, mail_sink: MailSink
) -> AsyncIterator[Way]:
    settings = users_settings(databases, keys, jwks_url)
    async with (
        notifier.running(notifier_settings(keys, smtp_port=mail_sink.port), bus),
        running_users(settings, keys, bus),
    ):
        yield Way(settings)


async def test_each_step_is_told_and_what_the_mail_server_said(way: Way, mail_sink: MailSink) -> None:
    found = await way.sent()

    assert (found.name, found.level) == ("mail", "ok")
    assert re.match(r"delivered after \d+\.\d s: 250 OK", found.said)
    said = [step.partition(" s: ")[2] for step in way.steps]
    assert said == ["in the outbox", "published to the broker", "250 OK"]
    (mailed,) = mail_sink.mails_to(ADDRESS)
    assert (mailed.purpose, mailed.message["Subject"]) == ("test", "[Login2FA] Test of the mails")
    assert "this is a test mail, with a code that opens nothing" in mailed.text


async def test_a_refusal_is_told_in_the_servers_words_without_the_address(way: Way, mail_sink: MailSink) -> None:
    mail_sink.refuse(f"550 5.1.1 <{ADDRESS}>: no such mailbox")

    found = await way.sent()

    assert found.level == "fail"
    assert 'RCPT: the mail server says "550 5.1.1 (address) no such mailbox"' in found.said
    assert ADDRESS not in f"{found} {way.steps}"


async def test_a_mailbox_gets_only_so_many(way: Way, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_limits, "TESTS_PER_HOUR", 1)
    await way.sent()

    with pytest.raises(TooManyRequests):
        await way.sent(ADDRESS.upper())
    assert len(mail_sink.received) == 1


async def test_an_event_that_nobody_publishes_is_told_to_be_in_the_outbox(
    databases: Databases, keys: Keys, jwks_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.users.mail_test.WAIT_SECONDS", 0.3)
    way = Way(users_settings(databases, keys, jwks_url))

    found = await way.sent()

    assert (found.level, found.where) == ("fail", "USERS_DATABASE_URL")
    assert [step.partition(": ")[2] for step in way.steps] == ["in the outbox"]
