"""The two places where a code arrives: a mail, or a line of a file."""

from __future__ import annotations

from pathlib import Path

from tests.polling import eventually
from tests.servers.mail import MailSink, Received

ARRIVAL_SECONDS = 30.0  # a tenth of a second when nothing is broken


class MailInbox:
    def __init__(self, sink: MailSink) -> None:
        self.sink = sink

    def codes(self, email: str) -> list[str]:
        # A mail that came twice is the same mail: at-least-once delivery allows it.
        return [mail.code for mail in first_of_each(self.sink.mails_to(email))]

    async def wait_for_code(self, email: str, *, after: int = 0) -> str:
        return await _next(self, email, after)


class FileInbox:
    """Lines `email/otp`. A code that is there twice in a row was written twice."""

    def __init__(self, path: Path) -> None:
        self._path = path

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


def first_of_each(mails: list[Received]) -> list[Received]:
    """One mail for each `Message-ID`."""
    return list({str(mail.message["Message-ID"]): mail for mail in reversed(mails)}.values())[::-1]


async def _next(inbox: MailInbox | FileInbox, email: str, after: int) -> str:
    def arrived() -> str:
        codes = inbox.codes(email)
        assert len(codes) > after, f"{len(codes)} codes for {email}, and not {after + 1}"
        return codes[after]

    return await eventually(arrived, ARRIVAL_SECONDS)
