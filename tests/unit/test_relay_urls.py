"""SMTP_RELAYS: a URL says all about one mail server. Bad ones: tests/unit/test_bad_settings.py."""

from __future__ import annotations

from services.notifier.relay_urls import RelayUrl


def test_a_url_gives_host_port_security_and_login() -> None:
    relay = RelayUrl.parse("smtps://log%40in:p%2Cw@[2001:db8::1]")
    assert (relay.smtp_host, relay.smtp_port, relay.smtp_security) == ("2001:db8::1", 465, "tls")
    assert relay.smtp_username == "log@in"
    assert relay.smtp_password is not None
    assert relay.smtp_password.get_secret_value() == "p,w"
    plain = RelayUrl.parse("smtp+plain://mailhog:1025")
    assert (plain.smtp_port, plain.smtp_security, plain.smtp_username) == (1025, "none", None)
    assert RelayUrl.parse("smtp://mail.example.com").smtp_port == 587
