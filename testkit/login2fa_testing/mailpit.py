"""Mailpit's HTTP API, version 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from login2fa_testing.inbox import PolledInbox, Purpose, Received
from login2fa_testing.inbox_http import InboxHttp
from login2fa_testing.mail_code import MailedCode, mailed_code

PAGE = 250


class MailpitInbox(PolledInbox):
    """`address` is that of Mailpit's page, as `http://127.0.0.1:8025`."""

    def __init__(self, address: str | Callable[[], str]) -> None:
        super().__init__()
        self._http = InboxHttp("Mailpit", address)
        self._read: dict[str, MailedCode | None] = {}

    @property
    def place(self) -> str:
        return self._http.place

    def clear(self) -> None:
        self._http.delete("/api/v1/messages")

    def _received(self, email: str, purpose: Purpose) -> Iterator[Received]:
        for mail in reversed(self._found(email)):
            if email not in {to["Address"].lower() for to in mail["To"] or ()}:
                continue  # the search finds every address that contains this one
            found = self._mailed_code(mail["ID"])
            if found is not None and found.purpose == purpose:
                yield Received(found.message_id or mail["ID"], found.code)

    def _found(self, email: str) -> list[dict[str, Any]]:
        """Summaries, newest first: the source of a mail is asked for by its id."""
        found: dict[str, dict[str, Any]] = {}
        start, total = 0, 1
        while start < total:
            page = self._http.get("/api/v1/search", query=f'to:"{email}"', start=start, limit=PAGE)
            # By id: a mail that arrives between two pages moves the others on.
            found |= {mail["ID"]: mail for mail in page["messages"]}
            total = page["messages_count"]
            start += PAGE
        return list(found.values())

    def _mailed_code(self, identifier: str) -> MailedCode | None:
        if identifier not in self._read:
            # The source: no other answer has the headers and the text.
            self._read[identifier] = mailed_code(self._http.get_text(f"/api/v1/message/{identifier}/raw"))
        return self._read[identifier]
