"""A failure of the mail says where, in the server's own words, and which setting to look at; to each who may ask."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from services.notifier.app import MAIL_SERVER
from services.notifier.app import running as notifier_running
from shared.messaging.bus import GiveUp, Retry
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import HEARTBEATS, OTP_OUTCOMES
from shared.web.process import Running, management
from tests import edge_keys
from tests.asking import client_of
from tests.builders import delivery
from tests.composed import Keys, notifier_settings
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.mail import MailSink
from tests.servers.mail_broken import BROKEN, Broken
from tests.stacks.program import Program

LogLines = Callable[[], list[dict[str, Any]]]
LONGEST_REASON = 255  # of a header of AMQP: a dead letter's reason is one

TO_A_CONNECTION = [name for name, broken in BROKEN.items() if broken.said[:4] in ("conn", "TLS:", "EHLO", "AUTH")]


def first_of_each_stage() -> list[Any]:
    """The other servers of a stage are for the long run: the command is started for each."""
    stages: set[str] = set()
    found = []
    for name, server in BROKEN.items():
        stage = server.said.partition(":")[0]
        found.append(pytest.param(name, marks=pytest.mark.long) if stage in stages else name)
        stages.add(stage)
    return found


@pytest.fixture(params=BROKEN)
async def broken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Broken, dict[str, str]]]:
    """A broken server, and the settings of a notifier that finds it."""
    server = BROKEN[request.param]
    async with server.run(tmp_path) as settings:
        if authority := settings.get("SSL_CERT_FILE"):
            monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, authority)
        yield server, settings


def settings_of(environment: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in environment.items() if name != "SSL_CERT_FILE"}


def assert_helps(sentence: str, server: Broken) -> None:
    assert sentence.startswith(server.said)
    advice = sentence.removeprefix(server.said)
    assert not [setting for setting in server.look_at if setting not in advice]
    assert "@" not in sentence
    assert "519273" not in sentence
    assert len(sentence.encode()) <= LONGEST_REASON


async def test_the_reason_of_a_delivery_and_the_log_say_stage_words_and_setting(
    keys: Keys, requested: Requested, broken: tuple[Broken, dict[str, str]], log_lines: LogLines
) -> None:
    server, environment = broken
    async with running_notifier(keys, **settings_of(environment)) as notifier:
        outcome = await notifier(delivery(requested(email="ann@example.org", code="519273")))

    assert isinstance(outcome, Retry | GiveUp)
    assert_helps(outcome.reason, server)
    [line] = [line for line in log_lines() if line["event"] == "otp delivery"]
    assert line["reason"] == outcome.reason
    assert "ann@example.org" not in str(log_lines())


@pytest.mark.parametrize("broken", TO_A_CONNECTION, indirect=True)
async def test_a_mail_server_out_of_reach_is_in_the_log_with_its_reason_before_there_is_a_mail(
    keys: Keys, broken: tuple[Broken, dict[str, str]], log_lines: LogLines
) -> None:
    server, environment = broken
    async with serving(keys, settings_of(environment)):
        [line] = await eventually(lambda: _out_of_reach(log_lines()))

    assert line["level"] == "error"
    assert_helps(line["reason"], server)


async def test_readiness_has_a_check_of_the_mail_server_and_its_reason_where_it_is_asked_for(
    keys: Keys, mail_sink: MailSink
) -> None:
    mail_sink.refuse("554 5.7.1 Not from here", at="CONNECT")
    async with serving(keys, {"smtp_port": mail_sink.port}) as running:
        probed = await asked(running, "?exclude=mail-server")
        unready = await eventually(lambda: _answered(running, 503))
        mail_sink.accept()
        ready = await eventually(lambda: _answered(running, 200))

    assert (probed["status"], probed["checks"]) == ("ready", {"notifier-consumer": True})
    assert unready["checks"] == {"notifier-consumer": True, MAIL_SERVER: False}
    assert unready["reasons"][MAIL_SERVER].startswith('connect: the mail server says "554 5.7.1 Not from here".')
    assert (ready["checks"][MAIL_SERVER], ready["reasons"]) == (True, {})


async def test_the_command_sends_a_mail_the_notifier_s_whole_way_and_says_so(
    mail_sink: MailSink, tmp_path: Path
) -> None:
    code, said = await command(
        tmp_path, SMTP_PORT=str(mail_sink.port), SMTP_SECURITY="none", SITE_NAME="Acme", MAIL_FROM="login@acme.example"
    )

    assert (code, "has taken the mail" in said) == (0, True)
    [mail] = mail_sink.received
    assert (mail.sender, mail.recipients) == ("login@acme.example", ["ann@example.org"])
    assert mail.message["Subject"] == "[Acme] Test of the mails"
    assert "this is a test" in mail.text
    assert not mail.has_code
    assert mail_sink.heard[0] == "EHLO acme.example"
    assert mail_sink.heard[-1] == "QUIT"


@pytest.mark.parametrize("broken", first_of_each_stage(), indirect=True)
async def test_the_command_says_of_each_broken_server_what_is_wrong_with_it(
    broken: tuple[Broken, dict[str, str]], tmp_path: Path
) -> None:
    server, environment = broken

    code, said = await command(tmp_path, **environment)

    assert code == 2
    assert said.count("\n") == 1
    assert said.startswith("Not sent. ")
    assert_helps(said.removeprefix("Not sent. ").rstrip(), server)


def test_no_two_broken_servers_have_the_same_sentence_and_each_stage_has_one() -> None:
    said = [server.said for server in BROKEN.values()]
    assert len(set(said)) == len(said)
    assert {sentence.partition(":")[0] for sentence in said} == {
        "connect",
        "TLS",
        "EHLO",
        "AUTH",
        "MAIL",
        "RCPT",
        "DATA",
    }


async def test_the_command_takes_one_address_alone(tmp_path: Path) -> None:
    code, said = await command(tmp_path, address="ann@example.org, bob@example.org")

    assert (code, said) == (2, "ADDRESS: not one mail address\n")


async def test_where_codes_go_to_a_file_the_command_says_which_gets_its_line(tmp_path: Path) -> None:
    codes, notices = tmp_path / "codes", tmp_path / "codes.notices"

    code, said = await command(tmp_path, NOTIFIER_CHANNEL="file", OTP_LOG_FILE=str(codes))

    assert (code, str(notices) in said) == (0, True)
    assert notices.read_text() == "ann@example.org/mail_test\n"


async def test_the_greeting_is_the_name_that_is_set_and_by_default_the_sender_s_domain(
    keys: Keys, requested: Requested
) -> None:
    for settings, name in (
        ({}, "login2fa.example"),
        ({"smtp_helo_name": "login.acme.org"}, "login.acme.org"),
        ({"smtp_helo_name": "[192.0.2.1]"}, "[192.0.2.1]"),
    ):
        async with MailSink() as sink, running_notifier(keys, smtp_port=sink.port, **settings) as notifier:
            await notifier(delivery(requested()))
        assert sink.heard[0] == f"EHLO {name}"


@asynccontextmanager
async def serving(keys: Keys, settings: dict[str, Any]) -> AsyncIterator[Running]:
    """The whole notifier, which looks for its mail server by itself."""
    bus = MemoryBus()
    for queue in (HEARTBEATS.queue, OTP_OUTCOMES.queue):
        await bus.consume(queue, Recorder(), concurrency=1)
    async with notifier_running(notifier_settings(keys, **settings), bus) as running:
        yield running
    await bus.close()


async def asked(running: Running, query: str) -> dict[str, Any]:
    async with client_of(management(running.checks, running.reasons)) as client:
        answer: dict[str, Any] = (await client.get(f"/readyz{query}")).json()
    return answer


async def _answered(running: Running, status: int) -> dict[str, Any] | None:
    async with client_of(management(running.checks, running.reasons)) as client:
        answer = await client.get("/readyz?verbose")
    body: dict[str, Any] = answer.json()
    seen = body["reasons"].get(MAIL_SERVER) != "no connection has been made yet"
    return body if answer.status_code == status and seen else None


def _out_of_reach(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "mail does not get through to its server"]


async def command(folder: Path, *, address: str = "ann@example.org", **environment: str) -> tuple[int, str]:
    """How `login2fa mail test` ends, and what it prints."""
    needed = {
        **edge_keys.environment_of("notifier"),
        "RABBITMQ_URL": "amqp://not-used",
        "OTP_SEALING_KEYS": Fernet.generate_key().decode(),
        "MAIL_FROM": "login@login2fa.example",
    }
    program = Program("command", "mail", "test", address, settings=needed | environment, folder=folder)
    program.log.unlink(missing_ok=True)
    program.start()
    return await program.ended(), program.output()
