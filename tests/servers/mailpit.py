"""A small server that answers as Mailpit documents its API: it is NOT Mailpit, against which nothing here was run.

Mails come in by SMTP. The fields are those of the models MessagesSummary and MessageSummary of
https://mailpit.axllent.org/docs/api-v1/; like there, a search finds a term anywhere in an address, whatever its case.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import getaddresses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.servers.mail import MailSink, Received

_SOURCE = re.compile(r"/api/v1/message/([^/]+)/raw")

PAGE = 50  # where no limit is asked for


@dataclass(frozen=True)
class Mailpit:
    host: str
    smtp_port: int
    url: str


@asynccontextmanager
async def running_mailpit() -> AsyncIterator[Mailpit]:
    async with MailSink() as sink:

        class Api(_Api):
            mails = sink.received
            known: ClassVar[dict[int, tuple[Received, str]]] = {}

        server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Mailpit(sink.host, sink.port, f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Api(BaseHTTPRequestHandler):
    mails: list[Received]  # oldest first
    known: ClassVar[dict[int, tuple[Received, str]]]  # a mail is kept, or a later one could have its address in memory

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        messages = {self._name(mail): mail.message for mail in list(self.mails)}
        if url.path == "/api/v1/search" and query.get("query", "").strip():
            self._json(200, _search(messages, query))
        elif (source := _SOURCE.fullmatch(url.path)) and source[1] in messages:
            self._answer(200, "text/plain", messages[source[1]].as_bytes())
        else:
            self._json(404, {"Error": "not found"})

    def do_DELETE(self) -> None:
        # Without ids in the body, all of them.
        if self.path == "/api/v1/messages":
            self.mails.clear()
        self._json(200 if self.path == "/api/v1/messages" else 404, "ok")

    def _name(self, mail: Received) -> str:
        """An id, and no other mail's ever."""
        return self.known.setdefault(id(mail), (mail, secrets.token_hex(11)))[1]

    def _json(self, status: int, value: object) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _search(messages: dict[str, EmailMessage], query: dict[str, str]) -> dict[str, Any]:
    terms = [term.removeprefix("to:").lower() for term in shlex.split(query["query"])]
    found = [
        _summary(identifier, message)
        for identifier, message in reversed(messages.items())
        if all(any(term in to["Address"].lower() for to in _addresses(message, "To")) for term in terms)
    ]
    start, limit = int(query.get("start", 0)), int(query.get("limit", PAGE))
    return {
        "total": len(messages),
        "unread": len(messages),
        "messages_count": len(found),
        "messages_unread": len(found),
        "start": start,
        "tags": [],
        "messages": found[start : start + limit],
    }


def _summary(identifier: str, message: EmailMessage) -> dict[str, Any]:
    return {
        "ID": identifier,
        "MessageID": str(message["Message-ID"]).strip("<>"),
        "Read": False,
        "From": _addresses(message, "From")[0],
        "To": _addresses(message, "To"),
        "Cc": [],
        "Bcc": [],
        "ReplyTo": [],
        "Subject": str(message["Subject"]),
        "Created": datetime.now(UTC).isoformat(),
        "Username": "",
        "Tags": [],
        "Size": len(bytes(message)),
        "Attachments": 0,
        "Snippet": _snippet(message),
    }


def _addresses(message: EmailMessage, header: str) -> list[dict[str, str]]:
    return [{"Name": name, "Address": address} for name, address in getaddresses([str(message[header])])]


def _snippet(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    return str(part.get_content())[:250] if part is not None else ""
