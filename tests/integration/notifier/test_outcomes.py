"""The table of services/notifier/deliver.py, row by row, against a mail server that misbehaves."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from shared.messaging.bus import Done, GiveUp, Handler, Retry
from shared.sealing import Sealer
from tests.builders import delivery, otp_requested
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Counted, Requested
from tests.servers.mail import HANG_UP, SILENCE, MailSink, Stage
from tests.servers.ports import free_ports
from tests.servers.tls_mail import USERNAME, TlsMailSink, self_signed

# Postfix, Exim, Sendmail, Exchange and Gmail say these, most of them only when a recipient is named.
OUR_FAULT: list[tuple[str, Stage]] = [
    ("504 5.5.2 Need a dotted name", "EHLO"),
    ("550 5.7.1 We do not know you", "MAIL"),
    ("553 5.7.1 <login@login2fa.example>: Sender address rejected: not logged in", "MAIL"),
    ("504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "RCPT"),
    ("550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", "RCPT"),
    ("553 5.1.8 <login@login2fa.example>: Sender address rejected: Domain not found", "RCPT"),
    ("554 5.7.1 <ann@example.org>: Relay access denied", "RCPT"),
    ("550 relay not permitted", "RCPT"),
    ("550 5.7.1 Relaying denied. IP name lookup failed", "RCPT"),
    ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "RCPT"),
    ("554 5.7.1 Client host rejected: cannot find your hostname", "RCPT"),
    ("550 5.7.23 SPF validation failed", "RCPT"),
    ("550 5.7.26 This mail has been blocked because the sender is unauthenticated.", "DATA"),
]


async def test_an_accepted_mail_is_done_and_counted(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted
) -> None:
    assert await notifier(delivery(requested())) == Done()

    assert len(mail_sink.received) == 1
    assert counted("delivered") == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["450 4.2.1 Mailbox busy", "421 4.3.2 Going down", "452 4.3.1 Full"])
async def test_a_4xx_is_tried_again(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted, reply: str, stage: Stage
) -> None:
    mail_sink.refuse(reply, at=stage, times=1)
    event = requested()

    outcome = await notifier(delivery(event))

    assert isinstance(outcome, Retry)
    assert reply[:3] in outcome.reason
    assert (counted("retry"), mail_sink.received) == (1, [])
    assert await notifier(delivery(event, attempt=2)) == Done()


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["550 5.1.1 No such mailbox", "554 5.7.1 Spam"])
async def test_a_5xx_is_given_up_at_once(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted, reply: str, stage: Stage
) -> None:
    mail_sink.refuse(f"{reply}: 519273", at=stage)

    outcome = await notifier(delivery(requested(code="519273")))

    assert isinstance(outcome, GiveUp)
    assert reply[:3] in outcome.reason
    assert "519273" not in outcome.reason  # a server may echo what it was sent
    assert (counted("given_up"), mail_sink.received) == (1, [])


@pytest.mark.parametrize(("reply", "stage"), OUR_FAULT)
async def test_a_refusal_of_our_name_our_sender_or_our_host_burns_no_message(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted, reply: str, stage: Stage
) -> None:
    mail_sink.refuse(reply, at=stage)
    event = requested()

    assert isinstance(await notifier(delivery(event)), Retry)
    mail_sink.accept()

    assert await notifier(delivery(event, attempt=2)) == Done()
    assert (counted("retry"), counted("given_up")) == (1, 0)


async def test_a_refused_connection_is_tried_again(keys: Keys, requested: Requested) -> None:
    async with running_notifier(keys, smtp_port=free_ports(1)[0]) as notifier:
        assert isinstance(await notifier(delivery(requested())), Retry)


async def test_a_connection_that_drops_after_the_dot_is_tried_again_with_the_same_mail(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail_sink.refuse(HANG_UP, at="DATA", times=1)
    event = requested()

    outcomes = [await notifier(delivery(event, attempt=attempt)) for attempt in (1, 2)]

    assert [type(outcome) for outcome in outcomes] == [Retry, Done]
    first, second = mail_sink.received
    assert (first.code, first.message["Message-ID"]) == (second.code, second.message["Message-ID"])


async def test_a_server_that_accepts_and_says_nothing_is_left_in_time_and_tried_again(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    mail_sink.refuse(SILENCE, at="CONNECT")
    async with (
        running_notifier(keys, smtp_port=mail_sink.port, smtp_timeout=0.2) as notifier,
        asyncio.timeout(10),
    ):
        assert isinstance(await notifier(delivery(requested())), Retry)

    assert mail_sink.connections == 1


async def test_the_timeout_is_for_the_whole_delivery_and_not_for_each_reply(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    mail_sink.be_slow(0.7)  # six replies, each well within the limit, and together well beyond it
    async with running_notifier(keys, smtp_port=mail_sink.port, smtp_timeout=2.5) as notifier:
        assert isinstance(await notifier(delivery(requested())), Retry)

    assert mail_sink.heard[0].startswith("EHLO")
    assert "." not in mail_sink.heard


async def test_other_mails_are_not_held_up_by_a_server_that_says_nothing(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    async with MailSink() as silent, running_notifier(keys, smtp_port=silent.port) as stuck:
        silent.refuse(SILENCE, at="CONNECT")
        waiting = asyncio.ensure_future(stuck(delivery(requested())))
        async with running_notifier(keys, smtp_port=mail_sink.port) as notifier:
            assert await notifier(delivery(requested())) == Done()
        assert not waiting.done()
        waiting.cancel()


def relay(password: str) -> dict[str, str]:
    return {"smtp_security": "starttls", "smtp_username": USERNAME, "smtp_password": password}


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for the mail server that this process trusts."""
    certificate = self_signed(tmp_path)
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificate))
    return certificate


async def test_the_right_credentials_deliver_over_tls(keys: Keys, requested: Requested, trusted: Path) -> None:
    async with (
        TlsMailSink(trusted, "the-password") as server,
        running_notifier(keys, smtp_port=server.port, **relay("the-password")) as notifier,
    ):
        assert await notifier(delivery(requested())) == Done()

    assert (server.logins, len(server.received)) == (["the-password"], 1)


async def test_refused_credentials_pause_all_deliveries_without_touching_the_server_and_burn_no_message(
    keys: Keys, requested: Requested, trusted: Path, counted: Counted
) -> None:
    async with (
        TlsMailSink(trusted, "the-password") as server,
        running_notifier(keys, smtp_port=server.port, **relay("an-old-password")) as notifier,
    ):
        outcomes = [await notifier(delivery(requested())) for _ in range(5)]

        # The account at the relay is not locked by our trying on.
        assert (server.connections, server.received) == (1, [])

    assert [type(outcome) for outcome in outcomes] == [Retry] * 5
    assert "535" in str(outcomes[0])
    assert all("paused after AUTH" in str(outcome) for outcome in outcomes[1:])
    assert "an-old-password" not in str(outcomes)
    assert (counted("retry"), counted("given_up")) == (5, 0)


async def test_deliveries_go_on_after_the_pause(
    keys: Keys, requested: Requested, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.circuit_breaker._PAUSE", 0)
    mail_sink.refuse("530 5.7.0 Authentication required", at="MAIL", times=1)
    async with running_notifier(keys, smtp_port=mail_sink.port) as notifier:
        event = requested()

        outcomes = [await notifier(delivery(event, attempt=attempt)) for attempt in (1, 2)]

    assert [type(outcome) for outcome in outcomes] == [Retry, Done]


async def test_an_expired_code_is_dropped_and_counted_and_no_mail_server_is_asked(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted
) -> None:
    assert await notifier(delivery(requested(lives=-1))) == Done()

    assert (mail_sink.connections, counted("expired"), counted("delivered")) == (0, 1, 0)


async def test_a_retry_that_would_come_after_the_expiry_is_dropped_as_expired_now(
    notifier: Handler, requested: Requested, mail_sink: MailSink, counted: Counted
) -> None:
    mail_sink.refuse("450 4.2.1 Mailbox busy")

    # The next attempt would be 30 seconds from now.
    assert await notifier(delivery(requested(lives=20), attempt=4)) == Done()
    assert isinstance(await notifier(delivery(requested(lives=200), attempt=4)), Retry)

    assert (counted("expired"), counted("retry"), mail_sink.received) == (1, 1, [])


async def test_a_code_sealed_with_an_unlisted_key_is_given_up(
    notifier: Handler, mail_sink: MailSink, counted: Counted
) -> None:
    event = otp_requested(Sealer([Fernet.generate_key().decode()]))

    assert await notifier(delivery(event)) == GiveUp("Unsealable: InvalidToken")

    assert (mail_sink.connections, counted("given_up")) == (0, 1)


async def test_a_code_sealed_with_the_key_before_is_delivered_while_that_key_is_listed(
    keys: Keys, mail_sink: MailSink
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    async with running_notifier(keys, smtp_port=mail_sink.port, otp_sealing_keys=f"{new},{old}") as notifier:
        for key in (old, new):
            assert await notifier(delivery(otp_requested(Sealer([key])))) == Done()


POISON = [b"", b"not JSON", b"null", b"[]", b"\xff\xfe", b'{"email": "519273"}', b"[" * 100_000, b'"' + b"a" * 10**7]


async def test_poison_is_given_up_with_a_reason_that_repeats_nothing_and_others_flow(
    notifier: Handler, requested: Requested
) -> None:
    for body in POISON:
        outcome = await notifier(delivery(requested(), body=body))

        assert isinstance(outcome, GiveUp)
        assert outcome.reason.startswith("MalformedEvent: malformed auth.otp_requested.v1")
        assert "519273" not in outcome.reason
        assert len(outcome.reason) < 300
    assert await notifier(delivery(requested())) == Done()


async def test_an_event_of_another_major_version_is_given_up(notifier: Handler, requested: Requested) -> None:
    known = delivery(requested())
    unknown = replace(known, routing_key="auth.otp_requested.v2")

    assert await notifier(unknown) == GiveUp("forged or unsigned")


async def test_fields_of_a_newer_release_are_ignored(notifier: Handler, requested: Requested) -> None:
    event = requested()
    body = event.to_body().replace("{", '{"a_field_of_tomorrow": {"nested": [1]}, ', 1).encode()

    assert await notifier(delivery(event, body=body)) == Done()
