"""Mailpit's HTTP API, version 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from login2fa_testing.inbox import PolledInbox, Received
from login2fa_testing.inbox_http import InboxHttp
from login2fa_testing.mail_code import code_in_text

PAGE = 250


class MailpitInbox(PolledInbox):
    """`address` is that of Mailpit's page, as `http://127.0.0.1:8025`. Reading a mail marks it as read there."""

    def __init__(self, address: str | Callable[[], str]) -> None:
        super().__init__()
        self._http = InboxHttp("Mailpit", address)
        self._codes: dict[str, str | None] = {}

    @property
    def place(self) -> str:
        return self._http.place

    def clear(self) -> None:
        self._http.delete("/api/v1/messages")

    def _received(self, email: str) -> Iterator[Received]:
        for mail in reversed(self._found(email)):
            if email not in {to["Address"].lower() for to in mail["To"] or ()}:
                continue  # the search finds every address that contains this one
            code = self._code(mail["ID"])
            if code is not None:
                yield Received(mail["MessageID"] or mail["ID"], code)

    def _found(self, email: str) -> list[dict[str, Any]]:
        """Summaries, newest first: the text of a mail is asked for by its id."""
        found: dict[str, dict[str, Any]] = {}
        start, total = 0, 1
        while start < total:
            page = self._http.get("/api/v1/search", query=f'to:"{email}"', start=start, limit=PAGE)
            # By id: a mail that arrives between two pages moves the others on.
            found |= {mail["ID"]: mail for mail in page["messages"]}
            total = page["messages_count"]
            start += PAGE
        return list(found.values())

    def _code(self, identifier: str) -> str | None:
        if identifier not in self._codes:
            self._codes[identifier] = code_in_text(self._http.get(f"/api/v1/message/{identifier}")["Text"])
        return self._codes[identifier]
