"""A process starts with good settings, or says which one is bad and never what was in it: shared.configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.auth.settings import AuthSettings
from services.configuration import SETTINGS, is_required
from services.notifier.settings import NotifierSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import ProcessSettings, load
from tests.good_settings import CANARY, GOOD, KEY, KEYS, environment, refusal

__all__ = ("environment",)

REQUIRED = [
    (service, name.upper())
    for service, settings in SETTINGS.items()
    for name, field in settings.model_fields.items()
    if is_required(field)
]


@pytest.fixture(autouse=True)
def _good(environment: pytest.MonkeyPatch) -> None:
    """Every test here begins with it."""


@pytest.mark.parametrize("service", SETTINGS)
def test_the_required_variables_are_enough_to_start(service: str) -> None:
    settings = load(SETTINGS[service])
    assert not isinstance(settings, ProcessSettings) or (settings.broker_urls == [GOOD["RABBITMQ_URL"]])


def test_the_good_environment_of_these_tests_holds_what_is_required_and_nothing_else() -> None:
    assert {name for _, name in REQUIRED} == set(GOOD)


@pytest.mark.parametrize(("service", "name"), REQUIRED)
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_variable_that_is_missing_or_empty_is_named(
    environment: pytest.MonkeyPatch, service: str, name: str, value: str | None
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    assert name in refusal(service)


def test_every_bad_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AUTH_DATABASE_URL")
    environment.setenv("PORT", CANARY)
    environment.setenv("OTP_SEALING_KEYS", CANARY)
    sentence = refusal("auth")
    assert all(name in sentence for name in ("AUTH_DATABASE_URL", "PORT", "OTP_SEALING_KEYS"))


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("auth", "PORT", CANARY),
        ("auth", "PORT", "65536"),
        ("auth", "PORT", "-1"),
        ("auth", "LOG_LEVEL", CANARY),
        ("auth", "OTP_LIFETIME", "5"),
        ("auth", "OTP_ATTEMPTS", "0"),
        ("auth", "ARGON2_MEMORY_KIB", "1024"),
        ("auth", "ARGON2_PASSES", "1"),
        ("auth", "DATABASE_POOL", "nan"),
        ("users", "PASSWORD_MIN_LENGTH", "7"),
        ("users", "BREACHED_PASSWORDS", f"/nowhere/{CANARY}"),
        ("users", "RECENT_LOGIN", CANARY),
        ("users", "MAILED_CODE_LIFETIME", "59"),
        ("users", "UNIFORM_DEADLINE", "0"),
        ("notifier", "NOTIFIER_CHANNEL", CANARY),
        ("notifier", "SMTP_SECURITY", CANARY),
        ("notifier", "SMTP_TIMEOUT", "0"),
        ("notifier", "SMTP_HELO_NAME", f"{CANARY} RCPT TO:<x>"),
        ("notifier", "SMTP_HELO_NAME", f"{CANARY}_"),
        ("notifier", "SMTP_HELO_NAME", f"[{CANARY}]"),
        ("notifier", "SMTP_HELO_NAME", f"{CANARY}\u00e9.example"),
        ("notifier", "SITE_NAME", f"{CANARY}\nBcc: x"),
        ("notifier", "SITE_NAME", f"{CANARY}\u202e"),
        ("notifier", "SITE_NAME", CANARY * 10),
        ("notifier", "MAIL_RESERVED_DOMAINS", CANARY),
    ],
)
def test_a_value_that_does_not_do_is_named_and_not_shown(
    environment: pytest.MonkeyPatch, service: str, name: str, value: str
) -> None:
    environment.setenv(name, value)
    assert name in refusal(service)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("keys", [CANARY, f"{KEY},{CANARY}", KEY[:-2], f"{CANARY}\u00e9", "5", f"{KEY};{KEY}"])
def test_a_key_that_is_none_or_too_short_is_named_with_the_command_that_makes_one(
    environment: pytest.MonkeyPatch, name: str, keys: str
) -> None:
    environment.setenv(name, keys)
    reader = next(service for service, settings in SETTINGS.items() if name.lower() in settings.model_fields)
    sentence = refusal(reader)
    assert name in sentence
    assert "login2fa keys sealing" in sentence
    assert KEY[:8] not in sentence


@pytest.mark.parametrize("service", sorted({service for service, _ in REQUIRED}))
def test_a_key_for_two_purposes_is_refused(environment: pytest.MonkeyPatch, service: str) -> None:
    """One key for everything would let each process speak in every other's name."""
    for name in KEYS:
        environment.setenv(name, KEY)
    sentence = refusal(service)
    assert "have a key in common" in sentence
    assert KEY[:8] not in sentence


@pytest.mark.parametrize("keys", [",", " , ", ",,"])
def test_a_list_of_no_keys_is_refused(environment: pytest.MonkeyPatch, keys: str) -> None:
    environment.setenv("OTP_SEALING_KEYS", keys)
    assert "OTP_SEALING_KEYS" in refusal("auth")


def test_several_keys_are_separated_by_commas_and_keep_their_order(environment: pytest.MonkeyPatch) -> None:
    other = Fernet.generate_key().decode()
    environment.setenv("OTP_SEALING_KEYS", f" {other} , {KEY},")
    keys = load(AuthSettings).otp_sealing_keys
    assert [key.get_secret_value() for key in keys] == [other, KEY]


# --- secrets from files


@pytest.mark.parametrize("name", GOOD)
def test_any_variable_can_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    expected = {service: load(settings) for service, settings in SETTINGS.items()}
    (tmp_path / "secret").write_text(f"{GOOD[name]}\n")
    environment.delenv(name)
    environment.setenv(f"{name}_FILE", str(tmp_path / "secret"))

    assert {service: load(settings) for service, settings in SETTINGS.items()} == expected


def test_the_variable_itself_wins_over_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("amqp://other/")
    environment.setenv("RABBITMQ_URL_FILE", str(tmp_path / "secret"))
    assert load(UsersSettings).broker_urls == [GOOD["RABBITMQ_URL"]]


def test_a_file_that_can_not_be_read_is_named(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + CANARY.encode())
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        environment.setenv("OTP_PEPPERS_FILE", str(path))
        environment.delenv("OTP_PEPPERS", raising=False)
        sentence = refusal("auth")
        assert "OTP_PEPPERS_FILE" in sentence
        assert str(path) in sentence


def test_an_empty_file_is_a_missing_value(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    environment.delenv("OTP_PEPPERS")
    environment.setenv("OTP_PEPPERS_FILE", str(tmp_path / "secret"))
    assert "OTP_PEPPERS" in refusal("auth")


# --- what belongs together


def test_credentials_are_not_sent_to_a_mail_server_in_clear(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SMTP_USERNAME", "mailer")
    environment.setenv("SMTP_PASSWORD", CANARY)
    environment.setenv("SMTP_SECURITY", "none")
    sentence = refusal("notifier")
    assert "SMTP_USERNAME" in sentence
    assert "SMTP_SECURITY" in sentence

    environment.setenv("SMTP_SECURITY", "starttls")
    assert load(NotifierSettings).smtp_username == "mailer"


def test_the_file_channel_needs_its_file(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NOTIFIER_CHANNEL", "file")
    assert "OTP_LOG_FILE" in refusal("notifier")

    environment.setenv("OTP_LOG_FILE", "/codes.txt")
    assert load(NotifierSettings).otp_log_file == Path("/codes.txt")


def test_the_http_channel_needs_an_address_and_a_body_that_is_json_and_has_the_code(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("NOTIFIER_CHANNEL", "http")
    assert "MAIL_HTTP_URL and MAIL_HTTP_BODY are needed" in refusal("notifier")

    body = tmp_path / "body.json.j2"
    environment.setenv("MAIL_HTTP_URL", "https://api.example.com/email")
    environment.setenv("MAIL_HTTP_BODY", str(body))
    for text, said in (
        (None, "can not be read"),
        ('{"to": {{ to }}', "gives no JSON"),
        ('{"to": "{{ to }}", "text": {{ text }}}', "write values without quotes"),
        ('{"to": {{ to }}}', "a mail with a code lacks it"),
        ('{"to": {{ to }},\n "text": {{ txt }}}', "'txt' is undefined"),
        ('{"to": {{ to }},\n "text": {{ text }', "line 2"),
        ('{"to": {{ to | tojson }}, "text": {{ text }}}', "No filter named 'tojson'"),
    ):
        if text is not None:
            body.write_text(text)
        assert said in refusal("notifier")
    body.write_text('{"to": {{ to }}, "text": {{ text }}}')
    assert load(NotifierSettings).mail_http_body == body

    environment.setenv("MAIL_HTTP_HEADERS", f"Authorization {CANARY}")
    assert "MAIL_HTTP_HEADERS: line 1 is no header" in refusal("notifier")
    environment.setenv("MAIL_HTTP_HEADERS", "Content-Type: text/plain")
    assert "the Content-Type in MAIL_HTTP_HEADERS must be application/json or" in refusal("notifier")


def test_a_sentence_begins_with_its_subject(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NOTIFIER_CHANNEL", "file")
    assert refusal("notifier") == "OTP_LOG_FILE is needed with NOTIFIER_CHANNEL=file"


# --- what they give away


@pytest.mark.parametrize("service", SETTINGS)
def test_settings_show_no_secret_when_they_are_printed(service: str) -> None:
    settings = load(SETTINGS[service])
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in text
        assert KEY not in text


@pytest.mark.parametrize("service", SETTINGS)
def test_what_holds_a_secret_is_a_secret(service: str) -> None:
    for name, field in SETTINGS[service].model_fields.items():
        secret = name in {
            "rabbitmq_url",
            "rabbitmq_urls",
            "smtp_password",
            "smtp_relays",
            "mail_http_headers",
        } or name.endswith(("_database_url", "_keys", "_peppers"))
        assert (SecretStr.__name__ in str(field.annotation)) == secret, name


def test_settings_can_not_be_changed_after_the_start() -> None:
    settings = load(UsersSettings)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010 - mypy would refuse it too
