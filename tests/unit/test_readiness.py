"""The management port reports a process's health: shared.web.process.management."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from socket import socket
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from shared.web import process
from shared.web.process import Check, Reason, Running, listen, management, served
from tests.asking import client_of


async def holds() -> bool:
    return True


async def does_not_hold() -> bool:
    return False


async def breaks() -> bool:
    raise RuntimeError("the check itself is broken")


async def readiness(
    checks: Mapping[str, Check], query: str = "", *, reasons: Mapping[str, Reason] | None = None
) -> tuple[int, dict[str, Any]]:
    async with client_of(management(checks, reasons or {})) as client:
        answer = await client.get(f"/readyz{query}")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


async def test_a_process_is_ready_when_each_of_its_checks_holds() -> None:
    assert await readiness({"a": holds, "b": holds}) == (200, {"status": "ready", "checks": {"a": True, "b": True}})


async def test_one_check_that_does_not_hold_makes_it_unready_and_is_named() -> None:
    status, body = await readiness({"a": holds, "b": does_not_hold})
    assert (status, body) == (503, {"status": "not ready", "checks": {"a": True, "b": False}})


async def test_a_check_that_breaks_does_not_hold() -> None:
    assert (await readiness({"a": breaks}))[0] == 503


async def test_an_excluded_check_does_not_count_and_is_still_listed() -> None:
    status, body = await readiness({"a": holds, "b": does_not_hold}, "?exclude=b")
    assert (status, body) == (200, {"status": "ready", "checks": {"a": True}, "excluded": ["b"]})


async def test_several_checks_can_be_excluded_and_the_others_still_count() -> None:
    checks = {"a": does_not_hold, "b": does_not_hold, "c": does_not_hold}
    assert (await readiness(checks, "?exclude=a&exclude=b"))[0] == 503
    status, body = await readiness(checks, "?exclude=a&exclude=b&exclude=c")
    assert (status, body) == (200, {"status": "ready", "checks": {}, "excluded": ["a", "b", "c"]})


async def test_an_excluded_check_is_not_even_asked() -> None:
    # Under one probe's time-out, a check that hangs would take the answers of all others with it.
    asked = []

    async def asks() -> bool:
        asked.append("b")
        return True

    assert (await readiness({"a": holds, "b": asks}, "?exclude=b"))[0] == 200
    assert asked == []


async def test_a_name_that_no_check_has_excludes_nothing_and_the_answer_says_so() -> None:
    status, body = await readiness({"a": does_not_hold}, "?exclude=b&exclude=c")
    assert status == 503
    assert body["warning"] == "no such check: b, c"
    assert "excluded" not in body


async def test_verbose_shows_what_an_excluded_check_says_and_why_and_it_still_does_not_count() -> None:
    checks, reasons = {"a": holds, "b": does_not_hold}, {"a": lambda: "never said", "b": lambda: "it rains"}

    status, body = await readiness(checks, "?exclude=b&verbose", reasons=reasons)

    assert status == 200
    assert body == {
        "status": "ready",
        "checks": {"a": True, "b": False},
        "excluded": ["b"],
        "reasons": {"b": "it rains"},
    }
    assert "reasons" not in (await readiness(checks, "", reasons=reasons))[1]


async def test_a_process_is_alive_whatever_its_checks_say() -> None:
    async with client_of(management({"a": does_not_hold, "b": breaks})) as client:
        answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_once_a_process_is_called_ready_no_connection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    operator, public = listen("127.0.0.1", 0, hint=""), listen("127.0.0.1", 0, hint="")
    really = process.serving

    @asynccontextmanager
    async def serving(app: ASGIApp, *bound: socket, **options: Any) -> AsyncIterator[None]:
        if public in bound:
            url = f"http://127.0.0.1:{operator.getsockname()[1]}/readyz"
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(url)).status_code == 200
            _, writer = await asyncio.open_connection(*public.getsockname())
            writer.close()
        async with really(app, *bound, **options):
            yield

    monkeypatch.setattr(process, "serving", serving)
    async with served(Running(app=management({})), operator, public, grace=1):
        pass
