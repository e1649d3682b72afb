"""The places where a code arrives: a mail, read at the server or in MailHog, or a line of a file."""

from __future__ import annotations

import asyncio
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx

import login2fa_testing
from login2fa_testing import AccountCodePurpose
from login2fa_testing.otp_file import FileInbox as FilesOfTheChannel
from tests.polling import eventually
from tests.servers.mail import MailSink, Received
from tests.stacks.stack import Inbox

ARRIVAL_SECONDS = 30.0  # a tenth of a second when nothing is broken


class MailInbox:
    def __init__(self, sink: MailSink) -> None:
        self.sink = sink

    def mails_to(self, email: str) -> list[Received]:
        return self.sink.mails_to(email)

    def codes(self, email: str) -> list[str]:
        # A mail that came twice is the same mail: at-least-once delivery allows it.
        return [mail.code for mail in first_of_each(self.mails_to(email)) if mail.has_code]

    async def wait_for_code(self, email: str, *, after: int = 0) -> str:
        return await _next(self, email, after)

    async def wait_for_account_code(self, email: str, *, purpose: AccountCodePurpose) -> str:
        def arrived() -> str:
            codes = [mail.account_code for mail in self.mails_to(email) if mail.purpose == purpose]
            assert codes, f"no {purpose} code for {email}"
            return codes[-1]

        return await eventually(arrived, ARRIVAL_SECONDS)


class MailHog:
    """`url` is that of its page."""

    def __init__(self, codes: login2fa_testing.Inbox, url: str) -> None:
        self._codes = codes
        self._url = url

    def codes(self, email: str) -> list[str]:
        return self._codes.codes(email)

    async def wait_for_code(self, email: str, *, after: int = 0) -> str:
        return await _next(self, email, after)

    async def wait_for_account_code(self, email: str, *, purpose: AccountCodePurpose) -> str:
        return await asyncio.to_thread(self._codes.wait_for_account_code, email, purpose=purpose)

    def mails_to(self, email: str) -> list[Received]:
        query = {"kind": "to", "query": email}
        answer = httpx.get(f"{self._url}/api/v2/search", params=query, trust_env=False).raise_for_status()
        return [_as_sent(item["Raw"]) for item in reversed(answer.json()["items"]) if email in item["Raw"]["To"]]


def _as_sent(raw: dict[str, Any]) -> Received:
    """MailHog keeps the envelope and the source; who has brought it, it does not."""
    message = message_from_string(raw["Data"], EmailMessage, policy=default)
    return Received(sender=raw["From"], recipients=raw["To"], peer=("", 0), message=message)


class FileInbox:
    """Lines `email/otp`. A code that is there twice in a row was written twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = FilesOfTheChannel(path)

    def codes(self, email: str) -> list[str]:
        if not self._path.exists():
            return []
        codes: list[str] = []
        for line in self._path.read_text().splitlines():
            recipient, _, code = line.rpartition("/")
            if recipient == email and codes[-1:] != [code]:
                codes.append(code)
        return codes

    async def wait_for_code(self, email: str, *, after: int = 0) -> str:
        return await _next(self, email, after)

    async def wait_for_account_code(self, email: str, *, purpose: AccountCodePurpose) -> str:
        return await asyncio.to_thread(self._files.wait_for_account_code, email, purpose=purpose)


def first_of_each(mails: list[Received]) -> list[Received]:
    """One mail for each `Message-ID`."""
    return list({str(mail.message["Message-ID"]): mail for mail in reversed(mails)}.values())[::-1]


async def _next(inbox: Inbox, email: str, after: int) -> str:
    def arrived() -> str:
        codes = inbox.codes(email)
        assert len(codes) > after, f"{len(codes)} codes for {email}, and not {after + 1}"
        return codes[after]

    return await eventually(arrived, ARRIVAL_SECONDS)
