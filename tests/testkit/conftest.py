"""The inboxes of the testing kit, each with a channel of the notifier that delivers into it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from login2fa_testing import AccountCodePurpose, FileInbox, Inbox, MailHogInbox, MailpitInbox
from services.notifier.channel import AccountCode, Channel, Delivery
from services.notifier.file import FileChannel
from services.notifier.reach import Reach
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel
from services.notifier.turns import Turn
from shared.configuration.settings import load
from tests import edge_keys
from tests.e2e_required import require_public_image
from tests.servers.mailhog import IMAGE, MailHog, running_mailhog
from tests.servers.mailpit import running_mailpit

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Somewhere that codes arrive, as the notifier and as a reader see it."""

    inbox: Inbox
    channel: Channel

    async def deliver(
        self, email: str, code: str, *, purpose: AccountCodePurpose | None = None, times: int = 1
    ) -> None:
        """Deliver one event, as often as an at-least-once delivery may: of a login code, or for `purpose`."""
        now = datetime.now(UTC)
        fields: dict[str, Any] = {
            "event_id": f"event-{next(_numbers)}",
            "correlation_id": "a-correlation",
            "email": email,
            "code": code,
            "requested_at": now,
            "expires_at": now + timedelta(minutes=4),
        }
        mail = Delivery(**fields) if purpose is None else AccountCode(**fields, purpose=purpose)
        for _ in range(times):
            await self.channel.deliver(mail, Turn(None))

    async def wait_for_code(self, email: str, *, timeout: float = 20.0, after: int | None = None) -> str:  # noqa: ASYNC109 - the signature is the kit's
        return await asyncio.to_thread(self.inbox.wait_for_code, email, timeout=timeout, after=after)

    async def wait_for_account_code(self, email: str, purpose: AccountCodePurpose, *, timeout: float = 20.0) -> str:  # noqa: ASYNC109 - the signature is the kit's
        return await asyncio.to_thread(self.inbox.wait_for_account_code, email, purpose=purpose, timeout=timeout)


@pytest.fixture(scope="session")
def mailhog() -> Iterator[MailHog]:
    require_public_image(IMAGE)
    with running_mailhog() as server:
        yield server


@pytest.fixture(params=["mailhog", "mailpit", "file"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "mailhog":
        mailhog = request.getfixturevalue("mailhog")
        place = Place(MailHogInbox(mailhog.url), smtp_to(mailhog.host, mailhog.smtp_port))
        place.inbox.clear()
        yield place
        await place.channel.close()
    elif request.param == "mailpit":
        async with running_mailpit() as mailpit:
            place = Place(MailpitInbox(mailpit.url), smtp_to(mailpit.host, mailpit.smtp_port))
            yield place
            await place.channel.close()
    else:
        yield Place(FileInbox(tmp_path / "otp-logs.txt"), FileChannel(tmp_path / "otp-logs.txt"))


def smtp_to(host: str, port: int) -> SmtpChannel:
    settings = load(
        NotifierSettings,
        **edge_keys.settings_of("notifier"),
        rabbitmq_url="amqp://not-used",
        otp_sealing_keys="WVZhd2VnNGxiZ3Z5YWFhYWFhYWFhYWFhYWFhYWFhYWE=",
        smtp_host=host,
        smtp_port=port,
        smtp_security="none",
        mail_from="login@test.com",
    )
    return SmtpChannel(settings, Reach())
