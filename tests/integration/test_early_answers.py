"""A client that sends a body which is too large reads the answer to it, instead of a broken pipe."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from services.auth import app as auth
from services.users import app as users
from shared.messaging.memory import MemoryBus
from shared.web.process import Running, listen, served
from tests.asking import small_app
from tests.composed import Keys, auth_settings, bus, jwks_url, keys, users_settings
from tests.raw_http import Watched, connected, watched
from tests.servers.databases import Databases

__all__ = ("bus", "jwks_url", "keys")

MIB = 1024 * 1024
SIZES = [70_000, MIB, 3 * MIB]


@pytest.fixture
async def server() -> AsyncIterator[Watched]:
    async with watched(small_app(max_body=65_536)) as server:
        yield server


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield b"x" * 10_000


def by_urllib(url: str, body: bytes | Iterator[bytes]) -> tuple[int, Any]:
    """It asks for `Connection: close`, sends all of its body, and then begins to read."""
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    raise AssertionError("it was taken")


def by_http_client(url: str, body: bytes | Iterator[bytes]) -> tuple[int, Any]:
    """As `requests` and urllib3 send: the connection is to be kept."""
    parts = httpx.URL(url)
    connection = http.client.HTTPConnection(parts.host, parts.port)
    try:
        chunked = not isinstance(body, bytes)
        headers = {"Transfer-Encoding": "chunked"} if chunked else {}
        connection.request("POST", parts.path, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()


@pytest.mark.parametrize("send", [by_urllib, by_http_client])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_answer_to_a_body_that_is_too_large_can_be_read(
    server: Watched, send: Any, chunked: bool, size: int
) -> None:
    url = f"http://127.0.0.1:{server.port}/api"
    for _ in range(5):
        body = pieces(size) if chunked else b"x" * size
        status, document = await asyncio.to_thread(send, url, body)
        assert (status, document["code"]) == (413, "content_too_large")
        assert "65536 bytes" in document["detail"]


async def test_a_client_that_waits_for_leave_to_send_is_answered_instead(server: Watched) -> None:
    async with connected(server.port) as connection:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MIB}\r\nExpect: 100-continue\r\n\r\n"
        await connection.send(head.encode())
        assert (await connection.answer()).status == 413


async def test_an_idle_connection_is_kept_for_as_long_as_the_setting_says() -> None:
    public, operator = listen("127.0.0.1", 0, hint=""), listen("127.0.0.1", 0, hint="")
    async with (
        served(Running(app=small_app(), keep_alive=1), operator, public, grace=1),
        connected(public.getsockname()[1]) as connection,
    ):
        await connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(30):  # a default of 75 s is not waited for
            assert [each.status for each in await connection.answers()] == [404]


async def test_that_setting_is_one_of_each_service(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str
) -> None:
    async with auth.running(auth_settings(databases, keys, keep_alive=7), bus) as service:
        assert service.keep_alive == 7
    async with users.running(users_settings(databases, keys, jwks_url, keep_alive=8), bus) as service:
        assert service.keep_alive == 8
