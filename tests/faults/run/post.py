"""The post that came in: every mail, with the moment of its arrival."""

from __future__ import annotations

import asyncio
import time

from tests.faults.run.ledger import Ledger, Mailed
from tests.polling import STEP
from tests.servers.mail import MailSink, Received


class Post:
    """Takes mails out of the server as they come: tens of thousands would slow each look, and fill the memory."""

    def __init__(self, sink: MailSink, ledger: Ledger) -> None:
        self._sink = sink
        self._ledger = ledger
        self._arrived: dict[str, asyncio.Event] = {}

    async def sort_forever(self) -> None:
        while True:
            self.sort()
            await asyncio.sleep(STEP)

    def sort(self) -> None:
        mails, self._sink.received[:] = list(self._sink.received), []
        for mail in mails:
            request_id = str(mail.message["X-Correlation-Id"])
            found = Mailed(time.monotonic(), _code(mail), str(mail.message["Message-ID"]), mail.purpose)
            self._ledger.mails[request_id].append(found)
            self._event(request_id).set()

    async def code(self, request_id: str, seconds: float) -> str | None:
        """The code that was asked for with this request; None where it has not come within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event(request_id).wait()
        except TimeoutError:
            return None
        return self._ledger.mails[request_id][0].code

    def _event(self, request_id: str) -> asyncio.Event:
        return self._arrived.setdefault(request_id, asyncio.Event())


def _code(mail: Received) -> str:
    if mail.purpose == "notice":
        return ""
    return mail.code if mail.purpose == "login" else mail.account_code
