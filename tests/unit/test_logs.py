"""One JSON line per event, and never the body of a message or a statement: shared.observability.logs."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import structlog

from shared.observability import logs
from shared.observability.correlation import correlation_id
from tests.asking import client_of, small_app

CANARY = "canary-0123456789"


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_service_and_correlation_id(stream: StringIO) -> None:
    token = correlation_id.set("request-1")
    structlog.get_logger().info("account applied", version=3)
    correlation_id.reset(token)

    (line,) = lines(stream)
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() == timedelta(0)
    assert line == {
        "event": "account applied",
        "level": "info",
        "service": "auth",
        "correlation_id": "request-1",
        "version": 3,
    }


def test_a_library_s_line_looks_like_our_own(stream: StringIO) -> None:
    token = correlation_id.set("request-1")
    logging.getLogger("some.library").warning("lost %s", "connection")
    correlation_id.reset(token)

    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("lost connection", "warning")
    assert (line["service"], line["correlation_id"]) == ("auth", "request-1")


def test_outside_of_a_request_the_correlation_id_is_a_dash(stream: StringIO) -> None:
    structlog.get_logger().info("serving")
    assert lines(stream)[0]["correlation_id"] == "-"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b\x85c", '"}\n{"event": "forged"}', "\0", "\ud800"])
def test_nothing_that_is_logged_can_begin_a_line_of_its_own(stream: StringIO, text: str) -> None:
    structlog.get_logger().info("seen", value=text)
    logging.getLogger("some.library").info(text)
    assert len(stream.getvalue().splitlines()) == 2
    assert lines(stream)[0]["value"] == lines(stream)[1]["event"] == text


def test_an_exception_is_part_of_its_line(stream: StringIO) -> None:
    try:
        int("wrong")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(stream)
    assert "ValueError: invalid literal" in line["exception"]


def test_the_variables_of_a_stack_are_not_in_its_line(stream: StringIO) -> None:
    def login(password: str) -> None:
        raise ValueError(f"wrong for {len(password)} letters")

    try:
        login(CANARY)
    except ValueError:
        structlog.get_logger().exception("failed")
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("aiormq.connection", logging.DEBUG),  # whole message bodies
        ("aio_pika.queue", logging.DEBUG),
        ("asyncio", logging.DEBUG),
        ("sqlalchemy.engine.Engine", logging.INFO),  # statements and their parameters
        ("sqlalchemy.pool.impl.AsyncAdaptedQueuePool", logging.DEBUG),
        ("httpx", logging.INFO),  # addresses
        ("httpcore.http11", logging.DEBUG),
        ("aiosmtplib", logging.DEBUG),
        ("uvicorn.error", logging.INFO),
        ("alembic.runtime.migration", logging.INFO),
    ],
)
def test_a_library_that_logs_bodies_is_silent_at_level_debug(stream: StringIO, name: str, level: int) -> None:
    logging.getLogger(name).log(level, "body: %s", CANARY)
    assert stream.getvalue() == ""

    logging.getLogger(name).warning("lost connection")
    assert [line["event"] for line in lines(stream)] == ["lost connection"]


def test_our_own_lines_at_level_debug_are_written(stream: StringIO) -> None:
    structlog.get_logger().debug("detail")
    assert [line["event"] for line in lines(stream)] == ["detail"]


@pytest.mark.parametrize(("level", "seen"), [("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(stream: StringIO, level: str, seen: int) -> None:
    logs.configure("auth", level, stream)
    log = structlog.get_logger()
    for write in (log.debug, log.info, log.warning, log.error):
        write("seen")
    assert len(lines(stream)) == seen


def test_to_configure_twice_writes_each_line_once(stream: StringIO) -> None:
    logs.configure("auth", "info", stream)
    structlog.get_logger().info("seen")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("text", ["GET", 'a "b"', "a\nb", "a\u2028b", '"}\n{"event": "forged"}'])
def test_a_line_of_a_kind_that_is_known_looks_like_any_other(stream: StringIO, text: str) -> None:
    token = correlation_id.set(text)
    structlog.get_logger().info("request", method=text, status=200, ms=1.5)
    logs.Line("request", method=text, status=200).write(ms=1.5)
    correlation_id.reset(token)

    plain, known = lines(stream)
    assert len(stream.getvalue().splitlines()) == 2
    assert datetime.fromisoformat(known.pop("timestamp")) >= datetime.fromisoformat(plain.pop("timestamp"))
    assert known == plain


def test_a_line_of_a_kind_that_is_known_heeds_the_settings_of_the_moment(stream: StringIO) -> None:
    kind = logs.Line("request")
    logs.configure("auth", "warning", stream)
    kind.write()
    assert lines(stream) == []

    logs.configure("users", "info", stream)
    kind.write()
    assert [(line["event"], line["service"]) for line in lines(stream)] == [("request", "users")]


async def test_a_request_is_one_line_without_its_path_query_or_headers(stream: StringIO) -> None:
    app = small_app()

    @app.get("/accounts/{name}")
    async def account(name: str, token: str) -> str:
        return name + token

    async with client_of(app) as client:
        await client.get(f"/accounts/{CANARY}?token={CANARY}", headers={"Authorization": f"Bearer {CANARY}"})
        await client.get(f"/{CANARY}")
    assert CANARY not in stream.getvalue()
    assert [(line["event"], line["route"], line["status"]) for line in lines(stream)] == [
        ("request", "/accounts/{name}", 200),
        ("request", "-", 404),
    ]


async def test_an_unexpected_error_is_logged_once_with_the_correlation_id_of_its_request(stream: StringIO) -> None:
    app = small_app()

    @app.get("/")
    async def bug() -> None:
        raise RuntimeError("oh")

    async with client_of(app) as client:
        await client.get("/", headers={"X-Request-ID": "request-1"})

    error, request = lines(stream)
    assert (error["event"], error["level"], error["correlation_id"]) == ("unexpected error", "error", "request-1")
    assert "RuntimeError: oh" in error["exception"]
    assert (request["event"], request["status"], request["correlation_id"]) == ("request", 500, "request-1")
