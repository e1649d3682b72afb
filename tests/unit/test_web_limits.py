"""A request is refused as soon as it is too large, whatever it says of its own length: shared.web.application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message

from tests.asking import client_of, problem, small_app

LIMIT = 1024


class Text(BaseModel):
    text: str


def limited_app() -> FastAPI:
    app = small_app(max_body=LIMIT, max_headers=2048)

    @app.post("/json")
    async def typed(given: Text) -> int:
        return len(given.text)

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/form")
    async def form(request: Request) -> int:
        async with request.form() as fields:
            return len(fields)

    @app.post("/unread")
    async def unread() -> str:
        return "not looked at"

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(limited_app()) as client:
        yield client


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length, in pieces of 100 bytes."""
    for _ in range(size // 100):
        yield b" " * 100
    yield b" " * (size % 100)


@pytest.mark.parametrize("path", ["/json", "/raw", "/form", "/unread"])
async def test_a_body_without_a_length_is_refused_where_it_grows_too_large(
    client: httpx.AsyncClient, path: str
) -> None:
    content_type = "application/json" if path == "/json" else "application/x-www-form-urlencoded"
    answer = await client.post(path, content=pieces(LIMIT + 1), headers={"Content-Type": content_type})
    problem(answer, 413, "content_too_large")


async def test_no_more_than_the_limit_is_read() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 100 * LIMIT:
            read += 100
            yield b" " * 100

    async with client_of(limited_app()) as client:
        problem(await client.post("/raw", content=endless()), 413, "content_too_large")
    assert read <= LIMIT + 200


@pytest.mark.parametrize("declared", [str(LIMIT + 1), "9" * 30, "9" * 1500])
async def test_a_declared_length_beyond_the_limit_is_refused_unread(client: httpx.AsyncClient, declared: str) -> None:
    answer = await client.post("/unread", content=b"x", headers={"Content-Length": declared})
    problem(answer, 413, "content_too_large")


async def test_a_length_with_more_digits_than_python_reads_is_refused() -> None:
    app = small_app(max_headers=65536)
    async with client_of(app) as client:
        answer = await client.post("/", content=b"x", headers={"Content-Length": "9" * 5000})
    problem(answer, 413, "content_too_large")


@pytest.mark.parametrize("declared", ["10", "\u00b2", "x", "-1", ""])
async def test_a_length_that_lies_does_not_open_the_door(client: httpx.AsyncClient, declared: str) -> None:
    headers = [(b"content-length", declared.encode("latin-1"))]
    problem(await client.post("/raw", content=pieces(LIMIT + 1), headers=headers), 413, "content_too_large")


async def test_a_body_of_just_the_limit_arrives_whole(client: httpx.AsyncClient) -> None:
    for content in (pieces(LIMIT), b"x" * LIMIT):
        assert (await client.post("/raw", content=content)).json() == LIMIT
    text = "x" * (LIMIT - len('{"text": ""}'))
    content = f'{{"text": "{text}"}}'.encode()
    assert len(content) == LIMIT
    typed = await client.post("/json", content=content, headers={"Content-Type": "application/json"})
    assert typed.json() == len(text)


async def test_headers_beyond_the_limit_are_refused(client: httpx.AsyncClient) -> None:
    for headers in (
        {"X": "x" * 2048},
        {"Authorization": "Bearer " + "x" * 2048},
        {f"X-{n}": "x" * 10 for n in range(200)},
    ):
        problem(await client.post("/unread", headers=headers), 431, "headers_too_large")


async def test_headers_within_the_limit_are_fine(client: httpx.AsyncClient) -> None:
    assert (await client.post("/unread", headers={"X": "x" * 1500})).status_code == 200


async def test_a_refusal_has_a_correlation_id_like_every_answer(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.post("/raw", content=b"x" * (LIMIT + 1), headers={"X-Request-ID": "request-1"}),
        await client.post("/raw", headers={"X-Request-ID": "request-1", "X": "x" * 2048}),
    ):
        assert answer.headers["x-request-id"] == "request-1"


async def test_a_client_that_hangs_up_in_the_middle_of_its_body_causes_no_answer_and_no_error() -> None:
    incoming: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/raw", "raw_path": b"/raw", "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "client": None, "server": None, "root_path": "",
    }  # fmt: skip
    await limited_app()(scope, receive, send)
    assert sent == []
