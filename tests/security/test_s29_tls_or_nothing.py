"""S29: where TLS is demanded and not to be had, the mail server gets no credentials, no address and no mail."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from services.notifier.settings import NotifierSettings
from shared.configuration.settings import SettingsInvalid, load
from shared.messaging.bus import Done, Outcome, Retry
from tests import edge_keys
from tests.builders import delivery, otp_requested
from tests.composed import Keys, keys
from tests.composed_notifier import running_notifier
from tests.servers.mail import MailSink
from tests.servers.pretending_smtp import PretendingSmtp, pretending
from tests.servers.tls_mail import USERNAME, TlsMailSink, self_signed

__all__ = ("keys",)

PASSWORD = "the-password"
CREDENTIALS = {"smtp_username": USERNAME, "smtp_password": PASSWORD}
BEFORE_TLS = {b"EHLO", b"STAR", b"QUIT"}

AUTH = b"AUTH PLAIN LOGIN"
SERVERS = {
    "offers no TLS": PretendingSmtp(offers=()),
    "offers a login instead": PretendingSmtp(offers=(AUTH,)),
    "has no TLS for the moment": PretendingSmtp(),
    "does not understand": PretendingSmtp(starttls=b"502 5.5.1 What?\r\n"),
    "says yes to another question": PretendingSmtp(starttls=b"250 OK\r\n"),
    "goes on in clear": PretendingSmtp(starttls=b"220 Go ahead\r\n250-localhost\r\n250 AUTH PLAIN LOGIN\r\n"),
    "alerts": PretendingSmtp(starttls=b"220 Go ahead\r\n\x15\x03\x03\x00\x02\x02\x28"),
}


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of 127.0.0.1 that this process trusts."""
    certificate = self_signed(tmp_path)
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificate))
    return certificate


async def attempt(keys: Keys, port: int, **settings: Any) -> Outcome:
    """What becomes of a code for ann@example.org."""
    async with running_notifier(keys, smtp_port=port, smtp_timeout=5.0, **settings) as notifier:
        return await notifier(delivery(otp_requested(keys.otp_sealer, code="519273")))


@pytest.mark.parametrize("credentials", [{}, CREDENTIALS], ids=["without a login", "with a login"])
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_that_does_not_begin_tls_hears_the_greeting_and_nothing_more(
    keys: Keys, kind: str, credentials: dict[str, str]
) -> None:
    like = SERVERS[kind]
    async with pretending(PretendingSmtp(starttls=like.starttls, offers=like.offers)) as server:
        outcome = await attempt(keys, server.port, smtp_security="starttls", **credentials)

    assert isinstance(outcome, Retry)
    in_clear = [line for line in server.heard if line.isascii() and line[:4].isalpha()]
    assert {line[:4] for line in in_clear} <= BEFORE_TLS
    said = b"\n".join(server.heard)
    assert not [secret for secret in (b"ann@example.org", b"519273", PASSWORD.encode()) if secret in said]


async def test_the_same_server_would_get_the_mail_if_nothing_were_demanded(keys: Keys) -> None:
    async with pretending(PretendingSmtp()) as server:
        assert await attempt(keys, server.port, smtp_security="none") == Done()

    assert b"RCPT TO:<ann@example.org>" in server.heard


async def test_a_server_without_tls_hears_no_command_where_tls_comes_first(keys: Keys, mail_sink: MailSink) -> None:
    outcome = await attempt(keys, mail_sink.port, smtp_security="tls", **CREDENTIALS)

    assert isinstance(outcome, Retry)
    assert mail_sink.connections == 1
    assert not [line for line in mail_sink.heard if line[:4].upper() in ("EHLO", "HELO", "AUTH", "MAIL")]


async def test_a_certificate_that_nobody_vouches_for_gets_neither_mail_nor_credentials(
    keys: Keys, tmp_path: Path
) -> None:
    async with TlsMailSink(self_signed(tmp_path), PASSWORD) as server:
        outcome = await attempt(keys, server.port, smtp_security="starttls", **CREDENTIALS)

    assert isinstance(outcome, Retry)
    assert (server.connections, server.logins, server.received) == (1, [], [])


async def test_a_trusted_certificate_of_another_name_gets_neither_mail_nor_credentials(
    keys: Keys, trusted: Path
) -> None:
    async with TlsMailSink(trusted, PASSWORD) as server:
        outcome = await attempt(keys, server.port, smtp_host="localhost", smtp_security="starttls", **CREDENTIALS)
        assert isinstance(outcome, Retry)
        assert (server.connections, server.logins, server.received) == (1, [], [])

        assert await attempt(keys, server.port, smtp_security="starttls", **CREDENTIALS) == Done()
    assert (server.logins, len(server.received)) == ([PASSWORD], 1)


async def test_what_was_said_before_tls_is_not_taken_for_an_offer_over_tls(keys: Keys, trusted: Path) -> None:
    """Somebody on the way puts an offer behind the reply to STARTTLS; the server itself takes no logins."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted)
    injecting = PretendingSmtp(starttls=b"220 Go ahead\r\n250-localhost\r\n250 AUTH PLAIN LOGIN\r\n", context=context)
    async with pretending(injecting) as server:
        outcome = await attempt(keys, server.port, smtp_security="starttls", **CREDENTIALS)

    assert isinstance(outcome, Retry)
    assert server.commands <= BEFORE_TLS
    assert server.heard.count(server.heard[0]) == 2  # EHLO once more, over TLS


def test_tls_is_demanded_unless_somebody_says_otherwise_and_with_a_login_nobody_can(keys: Keys) -> None:
    required = {
        **edge_keys.settings_of("notifier"),
        "rabbitmq_url": "amqp://not-used",
        "otp_sealing_keys": keys.otp_sealing,
    }
    assert load(NotifierSettings, **required).smtp_security == "starttls"
    with pytest.raises(SettingsInvalid, match="SMTP_USERNAME needs SMTP_SECURITY"):
        load(NotifierSettings, **required, **CREDENTIALS, smtp_security="none")
