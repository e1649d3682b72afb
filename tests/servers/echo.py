"""A small upstream that keeps each request as it came, and answers as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

from shared.web.process import listen, serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`headers` are all there were, names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


@dataclass(slots=True)
class Echo:
    port: int
    seen: list[Seen] = field(default_factory=list)
    status: int = 200
    body: bytes = b"from the upstream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        body = b""
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        query = scope["query_string"]
        self.seen.append(
            Seen(
                method=scope["method"],
                target=(scope["raw_path"] + (b"?" + query if query else b"")).decode(),
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
                body=body,
            )
        )
        length = (b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": [length]})
        await send({"type": "http.response.body", "body": self.body})


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    bound = listen("127.0.0.1", 0, hint="")
    echo = Echo(bound.getsockname()[1])
    async with serving(echo, bound, grace=1):
        yield echo
