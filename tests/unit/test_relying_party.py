"""Which deployments have passkeys, and for which pages: services/auth/relying_party.py."""

from __future__ import annotations

import pytest

from services.auth.relying_party import RelyingParty
from services.auth.settings import AuthSettings
from shared.configuration.settings import load
from tests.good_settings import environment

__all__ = ("environment",)


@pytest.mark.parametrize(
    ("issuer", "rp_id", "origin"),
    [
        ("https://Login.example.com/tenant/", "login.example.com", "https://login.example.com"),
        ("https://login.example.com:443", "login.example.com", "https://login.example.com"),
        ("https://login.example.com:8443", "login.example.com", "https://login.example.com:8443"),
        ("http://localhost:8201", "localhost", "http://localhost:8201"),
        ("https://intranet", "intranet", "https://intranet"),
    ],
)
def test_passkeys_are_of_the_host_and_the_origin_of_the_issuer(
    environment: pytest.MonkeyPatch, issuer: str, rp_id: str, origin: str
) -> None:
    environment.setenv("ISSUER", issuer)
    for passkeys in ("auto", "on"):
        environment.setenv("PASSKEYS", passkeys)
        assert load(AuthSettings).relying_party == RelyingParty(rp_id=rp_id, rp_name="Login2FA", origins=(origin,))


@pytest.mark.parametrize(
    "issuer", ["http://127.0.0.1:8201", "https://192.0.2.7", "http://[::1]:8201", "http://login.example.com"]
)
def test_where_browsers_take_none_there_are_none_unless_they_are_demanded(
    environment: pytest.MonkeyPatch, issuer: str
) -> None:
    environment.setenv("ISSUER", issuer)
    assert load(AuthSettings).relying_party is None


def test_they_can_be_turned_off(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ISSUER", "https://login.example.com")
    environment.setenv("PASSKEYS", "off")
    assert load(AuthSettings).relying_party is None


def test_one_domain_may_have_pages_below_it(environment: pytest.MonkeyPatch) -> None:
    pages = ("https://login.example.com", "https://app.example.com")
    environment.setenv("WEBAUTHN_RP_ID", "Example.com")
    environment.setenv("WEBAUTHN_ORIGINS", ",".join(pages))
    environment.setenv("WEBAUTHN_RP_NAME", "Acme")
    assert load(AuthSettings).relying_party == RelyingParty(rp_id="example.com", rp_name="Acme", origins=pages)
