"""MailHog's HTTP API: version 2 searches, version 1 deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from login2fa_testing.inbox import PolledInbox, Purpose, Received
from login2fa_testing.inbox_http import InboxHttp
from login2fa_testing.mail_code import mailed_code

PAGE = 250  # MailHog's largest


class MailHogInbox(PolledInbox):
    """`address` is that of MailHog's page, as `http://127.0.0.1:8025`."""

    def __init__(self, address: str | Callable[[], str]) -> None:
        super().__init__()
        self._http = InboxHttp("MailHog", address)

    @property
    def place(self) -> str:
        return self._http.place

    def clear(self) -> None:
        self._http.delete("/api/v1/messages")

    def _received(self, email: str, purpose: Purpose) -> Iterator[Received]:
        for mail in reversed(self._found(email)):
            if email not in _recipients(mail):
                continue  # the search finds every address that contains this one
            # MailHog decodes no body: the source is read as mail programs do.
            found = mailed_code(mail["Raw"]["Data"])
            if found is not None and found.purpose == purpose:
                yield Received(found.message_id or mail["ID"], found.code)

    def _found(self, email: str) -> list[dict[str, Any]]:
        """Newest first."""
        found: dict[str, dict[str, Any]] = {}
        start, total = 0, 1
        while start < total:
            page = self._http.get("/api/v2/search", kind="to", query=email, start=start, limit=PAGE)
            # By id: a mail that arrives between two pages moves the others on.
            found |= {mail["ID"]: mail for mail in page["items"]}
            total = page["total"]
            start += PAGE
        return list(found.values())


def _recipients(mail: dict[str, Any]) -> set[str]:
    return {address.lower() for address in mail["Raw"]["To"]}
