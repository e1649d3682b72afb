"""The code is in the message it delivers, and in nothing that the notifier says about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.messaging.bus import Handler
from shared.messaging.memory import MemoryBus
from tests.builders import delivery, message
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.servers.mail import HANG_UP, MailSink, Stage

LogLines = Callable[[], list[dict[str, Any]]]
CODE = "519273"


def said(lines: list[dict[str, Any]]) -> str:
    """All that they hold but ids and moments, which may hold any six digits."""
    return str(
        [{name: value for name, value in line.items() if name not in ("event_id", "timestamp")} for line in lines]
    )


@pytest.mark.parametrize(
    ("reply", "stage", "word"),
    [
        (None, "DATA", "delivered"),
        (f"450 4.2.1 Greylisted: {CODE}", "DATA", "retry"),
        (f"550 5.7.1 Spam: {CODE}", "DATA", "given_up"),
        (f"550 5.1.1 {CODE}", "RCPT", "given_up"),
        (f"550 5.1.1 {CODE[:3]} {CODE[3:]}", "RCPT", "given_up"),
        (f"530 5.7.0 {CODE}", "MAIL", "retry"),
        (f"504 5.5.2 {CODE}: Helo command rejected", "RCPT", "retry"),
        (HANG_UP, "DATA", "retry"),
    ],
)
async def test_no_log_line_and_no_reason_holds_the_code_whatever_becomes_of_it(
    notifier: Handler,
    requested: Requested,
    mail_sink: MailSink,
    log_lines: LogLines,
    reply: str | None,
    stage: Stage,
    word: str,
) -> None:
    if reply is not None:
        mail_sink.refuse(reply, at=stage)
    event = requested(code=CODE)

    outcome = await notifier(delivery(event))

    lines = log_lines()
    assert CODE not in repr(outcome)
    assert CODE not in said(lines)
    assert event.sealed_code not in said(lines)
    [end] = [line for line in lines if line["event"] == "otp delivery"]
    assert (end["outcome"], end["event_id"], end["attempt"]) == (word, str(event.event_id), 1)


async def test_a_failure_that_nobody_foresaw_does_not_tell_the_code_either(
    keys: Keys, requested: Requested, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_channel: object, delivery: Any, _turn: object) -> None:
        raise RuntimeError(f"cannot send {delivery.code} of {delivery!r}")

    monkeypatch.setattr("services.notifier.smtp.SmtpChannel.deliver", broken)
    monkeypatch.setattr("shared.messaging.handling.MAX_HANDLER_ERRORS", 1)
    bus = MemoryBus()
    async with running_notifier(keys) as handler:
        await bus.consume("notifier.otp", handler, concurrency=1)

        await bus.publish(message(requested(code=CODE)))

    [letter] = bus.dead_letters
    await bus.close()
    assert letter.reason == "handler failed: RuntimeError"
    assert CODE not in said(log_lines())
    assert [line for line in log_lines() if line["event"] == "handler failed"]


async def test_the_file_channel_logs_no_code(
    keys: Keys, requested: Requested, tmp_path: Path, log_lines: LogLines
) -> None:
    for path in (tmp_path / "otp-logs.txt", tmp_path / "nowhere" / "otp-logs.txt"):
        async with running_notifier(keys, notifier_channel="file", otp_log_file=path) as notifier:
            outcome = await notifier(delivery(requested(code=CODE)))
        assert CODE not in repr(outcome)

    assert (tmp_path / "otp-logs.txt").read_text().endswith(f"/{CODE}\n")
    assert CODE not in said(log_lines())
    assert [line["outcome"] for line in log_lines() if line["event"] == "otp delivery"] == ["delivered", "retry"]


async def test_a_log_line_carries_the_correlation_id_of_the_request(
    keys: Keys, requested: Requested, mail_sink: MailSink, log_lines: LogLines
) -> None:
    bus = MemoryBus()
    async with running_notifier(keys, smtp_port=mail_sink.port) as handler:
        await bus.consume("notifier.otp", handler, concurrency=1)
        await bus.publish(message(requested()))
    await bus.close()

    [line] = [line for line in log_lines() if line["event"] == "otp delivery"]
    assert line["correlation_id"] == "request-1"
    assert mail_sink.received[0].message["X-Correlation-Id"] == "request-1"
    assert line["outcome"] == "delivered"
