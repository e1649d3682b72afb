"""`login2fa config check` says whether a process would start, and with what: the settings as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.auth.tokens.keys import generate
from services.cli import app
from services.configuration import SETTINGS, is_required
from tests.good_settings import CANARY, GOOD, environment

__all__ = ("environment",)

SECRETS = set(GOOD) - {"JWT_KEYS_DIR"}


@pytest.fixture(autouse=True)
def _good(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test here begins with it, and with a signing key."""
    generate(tmp_path / "keys")
    environment.setenv("JWT_KEYS_DIR", str(tmp_path / "keys"))


def checked(service: str) -> Result:
    return CliRunner().invoke(app, ["config", "check", service])


def shown(service: str) -> dict[str, str]:
    result = checked(service)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output
    assert "Secret" not in result.output
    return dict(line.split("=", 1) for line in result.stdout.splitlines())


def refused(service: str) -> str:
    result = checked(service)
    assert result.exit_code == 2
    assert CANARY not in result.output
    assert result.stderr.startswith("Settings not valid. ")
    return result.stderr


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_is_shown_and_of_a_secret_that_it_is_set(service: str) -> None:
    values = shown(service)
    assert values.keys() == {name.upper() for name in SETTINGS[service].model_fields}
    assert {values[name] for name in SECRETS & values.keys()} <= {"set"}


def test_the_domain_of_the_passkeys_is_told_and_what_another_would_do_to_them(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ISSUER", "https://login.example.com")
    said = checked("auth").stderr
    assert "those of login.example.com, for pages at https://login.example.com. With another WEBAUTHN_RP_ID" in said

    environment.setenv("ISSUER", "https://192.0.2.7")
    assert checked("auth").stderr == "There are no passkeys.\n"


def test_a_value_is_shown_as_it_is_written(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("TLS_EXEMPT_HOSTS", "mq, db")
    environment.setenv("MAIL_FROM", '"Acme, Inc." <login@bücher.example>')
    auth, notifier = shown("auth"), shown("notifier")
    assert (auth["REQUIRE_TLS"], auth["OTP_LIFETIME"], auth["TRUSTED_PROXIES"]) == ("false", "240", "")
    assert (auth["TLS_EXEMPT_HOSTS"], auth["JWT_KEYS_DIR"]) == ("mq,db", str(tmp_path / "keys"))
    assert notifier["MAIL_FROM"] == '"Acme, Inc." <login@xn--bcher-kva.example>'


def test_a_password_that_is_set_is_told_from_one_that_is_not(environment: pytest.MonkeyPatch) -> None:
    assert shown("notifier")["SMTP_PASSWORD"] == ""

    environment.setenv("SMTP_USERNAME", "mailer")
    environment.setenv("SMTP_PASSWORD", CANARY)
    assert shown("notifier")["SMTP_PASSWORD"] == "set"


@pytest.mark.parametrize("service", sorted(SETTINGS.keys() - {"portal"}))
def test_all_that_is_missing_is_named_at_once(environment: pytest.MonkeyPatch, service: str) -> None:
    for name in GOOD:
        environment.delenv(name)
    said = refused(service)
    required = {name.upper() for name, field in SETTINGS[service].model_fields.items() if is_required(field)}
    assert all(name in said for name in required)
    assert "are not set, nor is the file of one" in said


def test_the_portal_needs_neither_broker_nor_database_nor_any_secret(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        environment.delenv(name)
    assert not {
        name for name in shown("portal") if name.endswith(("_KEYS", "_PEPPERS", "_DATABASE_URL", "_RABBITMQ_URL"))
    }


def test_one_that_is_missing_is_named_with_its_file(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("OTP_PEPPERS")
    assert "OTP_PEPPERS is not set, nor is OTP_PEPPERS_FILE" in refused("auth")

    environment.setenv("OTP_PEPPERS_FILE", "/nonexistent")
    assert "OTP_PEPPERS_FILE: cannot read /nonexistent: No such file or directory" in refused("auth")


def test_a_file_that_is_empty_is_named(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\ufeff\n", encoding="utf-8")
    environment.delenv("OTP_PEPPERS")
    environment.setenv("OTP_PEPPERS_FILE", str(tmp_path / "empty"))
    environment.delenv("AUTH_DATABASE_URL")
    said = refused("auth")
    assert "OTP_PEPPERS is not set: the file of OTP_PEPPERS_FILE is empty; AUTH_DATABASE_URL is not set, nor" in said


@pytest.mark.parametrize("folder", ["missing", "empty", "file", "no key", "gone"])
def test_the_folder_of_keys_is_looked_into_as_the_start_does(
    environment: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "no key").mkdir()
    (tmp_path / "no key" / "a.pem").write_text("none")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "a.pem").symlink_to(tmp_path / "nowhere")
    environment.setenv("JWT_KEYS_DIR", str(tmp_path / folder))
    assert f"JWT_KEYS_DIR: {tmp_path / folder}" in refused("auth")
    shown("users")


def test_a_key_that_the_command_makes_is_good_for_sealing_for_macs_and_for_peppers(
    environment: pytest.MonkeyPatch,
) -> None:
    for name in ("OTP_SEALING_KEYS", "USERS_TO_AUTH_KEYS", "OTP_PEPPERS"):
        environment.setenv(name, CliRunner().invoke(app, ["keys", "sealing"]).output.strip())
    shown("auth")


def test_a_service_does_not_start_with_what_the_check_refuses(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RABBITMQ_URL", "http://mq")
    environment.setenv("USERS_URL", "users")
    for service in SETTINGS:
        started = CliRunner().invoke(app, [service])
        assert (started.exit_code, started.stderr) == (2, refused(service))


def test_config_table_prints_a_row_for_each_variable() -> None:
    assert "| `OTP_LIFETIME` | `240` | auth |" in CliRunner().invoke(app, ["config", "table"]).output
