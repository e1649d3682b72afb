"""A wrong setting is named before anything else happens, with what to write; its neighbour that is right is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli import app
from services.configuration import SETTINGS
from services.notifier.mailbox import Mailbox
from shared.client_address import proxy_test
from shared.configuration.connections import to_broker, to_http, to_issuer
from shared.configuration.database_url import to_database
from shared.configuration.settings import ProcessSettings, load
from tests.good_settings import CANARY, KEY, KEYS, environment, refusal

__all__ = ("environment",)

DATABASE = f"postgresql://auth:{CANARY}@db.example.com/login2fa"
BROKER = f"amqp://auth:{CANARY}@mq.example.com"
PEPPER = "0123456789abcdef" * 2
BUT_NO_LIST = "must name one broker, not a list"

# The service, the variable, a bad value, what is said of it, and a good one.
BAD = [
    ("auth", "TRUSTED_PROXIES", "foo", "names are not looked up", "127.0.0.1"),
    ("auth", "TRUSTED_PROXIES", "127.0.0.1/8", "write 127.0.0.0/8, or 127.0.0.1 alone", "127.0.0.0/8"),
    ("users", "TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/33", "number 2 of the list is no IP address", "10.0.0.0/32"),
    ("users", "TRUSTED_PROXIES", "10.0.0.1 10.0.0.2", "are separated by commas", "10.0.0.1, 10.0.0.2"),
    ("auth", "TRUSTED_PROXIES", "*,10.0.0.0/8", "stands alone", "*"),
    ("auth", "TRUSTED_PROXIES", "fe80::1%eth0", "number 1 of the list is no IP address", "fe80::1"),
    ("auth", "OTP_PEPPERS", "abc", "at least 32 bytes; make one with: login2fa keys sealing", PEPPER),
    ("auth", "OTP_PEPPERS", f"{PEPPER},{CANARY}", "at least 32 bytes", f"{PEPPER},{PEPPER}{CANARY}"),
    ("users", "MAILED_CODE_PEPPERS", CANARY, "at least 32 bytes", PEPPER),
    ("auth", "OTP_SEALING_KEYS", CANARY, "make one with: login2fa keys sealing", KEY),
    ("auth", "AUTH_DATABASE_URL", DATABASE.replace("postgresql", "mysql"), "must begin with postgresql://", DATABASE),
    ("auth", "AUTH_DATABASE_URL", DATABASE.replace("ql://", "ql+psycopg://"), "must begin with postgresql://",
     DATABASE.replace("ql://", "ql+asyncpg://")),
    ("auth", "AUTH_DATABASE_URL", "db.example.com/login2fa", "must begin with postgresql://",
     DATABASE.replace("postgresql", "postgres")),
    ("auth", "AUTH_DATABASE_URL", DATABASE.removesuffix("login2fa"), "must name a user and a database", DATABASE),
    ("auth", "AUTH_DATABASE_URL", "postgresql://db.example.com/login2fa", "must name a user and a database", DATABASE),
    ("auth", "AUTH_DATABASE_URL", DATABASE.replace("db.", "one:80808,db."), "a port over 65535",
     DATABASE.replace("db.", "one:5432,db.")),
    ("auth", "AUTH_DATABASE_URL", DATABASE.replace("db.", ",db."), "no host such as db.example.com:5432",
     f"postgresql://auth:{CANARY}@/login2fa?host=one:5432&host=two:5432"),
    ("users", "USERS_DATABASE_URL", f"{DATABASE}?target_session_attrs=any", "must be primary or read-write",
     f"{DATABASE}?target_session_attrs=primary"),
    ("auth", "AUTH_DATABASE_URL", DATABASE.replace(".com", ".com:80808"), "no host or port",
     DATABASE.replace(".com", ".com:5432")),
    ("auth", "AUTH_DATABASE_URL", f"{DATABASE}?host=one:80808", "a port over 65535", f"{DATABASE}?host=one:5432"),
    ("auth", "AUTH_DATABASE_URL", f"{DATABASE}?port=5432,x", "a list of one for each host", f"{DATABASE}?port=5432"),
    ("users", "USERS_DATABASE_URL", DATABASE.replace(".com", ".com:port"), "is no URL like postgresql://", DATABASE),
    ("users", "USERS_DATABASE_URL", f"{DATABASE}?sslmode=on", "sslmode must be one of", f"{DATABASE}?sslmode=require"),
    ("users", "USERS_DATABASE_URL", f"{DATABASE}?ssl=true", "not known here: ssl", f"{DATABASE}?sslmode=prefer"),
    ("auth", "RABBITMQ_URL", "http://mq.example.com", "must begin with amqp:// or amqps://", BROKER),
    ("users", "RABBITMQ_URL", f"{BROKER},two.example.com/", BUT_NO_LIST, f"{BROKER}/"),
    ("users", "RABBITMQ_URL", f"{BROKER},{BROKER}", BUT_NO_LIST, f"{BROKER}/a-virtual-host"),
    ("notifier", "RABBITMQ_URL", f"amqp://auth:{CANARY}@/", "names no host", f"amqp://auth:{CANARY}@localhost/"),
    ("notifier", "RABBITMQ_URL", f"{BROKER}:80808/", "is no URL like amqps://", f"{BROKER}:5672/"),
    ("auth", "RABBITMQ_URL", f"amqp://auth:{CANARY}/x@mq/", "in the password write", f"amqp://auth:{CANARY}%2Fx@mq/"),
    ("auth", "RABBITMQ_URL", f"{BROKER}/?heartbeat=1", "not known here: heartbeat", f"{BROKER}/"),
    ("auth", "RABBITMQ_URL", f"{BROKER}/?certfile=/none", "certfile must be a file",
     f"{BROKER}/?certfile=/dev/null"),
    ("auth", "ISSUER", "login.example.com", "must be the public URL with its scheme", "https://login.example.com"),
    ("auth", "ISSUER", "https://login.example.com?a=b", "no query", "https://login.example.com/tenant"),
    ("users", "ISSUER", "https://login.example.com#a", "no fragment", "https://login.example.com/"),
    ("users", "ISSUER", f"https://a:{CANARY}@example.com", "neither user nor password", "http://127.0.0.1:8201"),
    ("auth", "ISSUER", "https://bücher.example", "must be ASCII", "https://xn--bcher-kva.example"),
    ("auth", "AUDIENCE", "one,two", "there is one audience", "https://api.example.com"),
    ("users", "AUTH_JWKS_URL", "foo", "must be a URL like https://", "http://auth:8000/.well-known/jwks.json"),
    ("users", "AUTH_JWKS_URL", "https://auth:80808/", "must be a URL like https://", "https://auth:8080/"),
    ("notifier", "MAIL_FROM", "nonsense", "must be one address in ASCII", "login@example.com"),
    ("notifier", "MAIL_FROM", "Acme, Inc. <a@b>", "must be quoted", '"Acme, Inc." <a@b>'),
    ("notifier", "MAIL_FROM", "a@example.com, b@example.com", "must be one address", "Acme <a@example.com>"),
    ("notifier", "MAIL_FROM", "jürgen@example.com", "in ASCII", "Jürgen <login@bücher.example>"),
    ("notifier", "MAIL_SUBJECT", "x" * 71, "on one line", "Código"),
    ("notifier", "SMTP_HOST", "smtp://mail.example.com", "a name or an address alone", "mail.example.com"),
    ("notifier", "SMTP_HOST", "mail.example.com:587", "without scheme, port", "::1"),
    ("notifier", "SMTP_HOST", "2130706433", "a name or an address alone", "127.0.0.1"),
    ("notifier", "SMTP_PORT", "80808", "must be at most 65535", "587"),
    ("notifier", "SMTP_SECURITY", "ssl", "must be none, starttls or tls", "tls"),
    ("notifier", "SMTP_RELAYS", "mail.example.com:587", "number 1 is no URL of a mail server; write smtp://user:",
     f"smtp://login:{CANARY}@mail.example.com"),
    ("notifier", "SMTP_RELAYS", f"smtps://one, smtp://{CANARY}:p/ss@two", "number 2 is no URL", "smtps://one, smtp://two"),
    ("notifier", "SMTP_RELAYS", f"smtps://login:{CANARY}@one:80808", "number 1 is no URL", f"smtps://login:{CANARY}@one"),
    ("notifier", "SMTP_RELAYS", "smtps://login@one", "must have both or none", "smtps://one:465/"),
    ("notifier", "SMTP_RELAYS", f"smtp+plain://login:{CANARY}@one", "not sent in clear", "smtp+plain://127.0.0.1:25"),
    ("notifier", "SMTP_RELAYS", "smtps://one?tls=no", "something behind the port", "smtps://[2001:db8::1]:465"),
    ("notifier", "MAIL_HTTP_URL", "api.example.com", "must be a URL like https://", "https://api.example.com/email"),
    ("notifier", "NOTIFIER_CHANNEL", "sms", "must be smtp, http or file", "smtp"),
    ("auth", "PORT", "80808", "must be at most 65535", "8080"),
    ("auth", "PORT", "http", "must be a whole number", "0"),
    ("users", "HOST", "http://0.0.0.0", "a name or an address alone", "0.0.0.0"),
    ("users", "HOST", "*", "such as 0.0.0.0", "localhost"),
    ("auth", "MANAGEMENT_HOST", "10.0.0.300", "a name or an address alone", "10.0.0.3"),
    ("auth", "COOKIE_IDLE", "60", "must be at least 300", "300"),
    ("auth", "ACCESS_TOKEN_LIFETIME", "1h", "must be a whole number", "3600"),
    ("auth", "OTP_LIFETIME", "99999999999", "must be at most 3600", "240"),
    ("auth", "FLOOD_RATE", "inf", "must be a finite number", "0"),
    ("auth", "HASH_MAX_WAIT", "0", "must be more than 0", "0.5"),
    ("auth", "LOG_LEVEL", "loud", "must be debug, info, warning or error", "WARNING"),
    ("auth", "EMAIL_VERIFICATION", "true", "must be off, optional or required", "Required"),
    ("users", "REQUIRE_2FA", "admin", "must be none, admins or all", "admins"),
    ("users", "REGISTRATION", "invite", "must be open, proven, invited or closed", "invited"),
    ("auth", "PASSKEYS", "yes", "must be auto, on or off", "ON"),
    ("auth", "WEBAUTHN_RP_ID", "https://login.example.com", "must be a domain alone", "LocalHost"),
    ("auth", "WEBAUTHN_RP_ID", "login.example.com.", "must be a domain alone", "127.0.0.1"),
    ("auth", "WEBAUTHN_RP_ID", "bücher.example", "in ASCII", "::1"),
    ("auth", "WEBAUTHN_ORIGINS", "http://login.example.com", "each must be https", "http://localhost:8201"),
    ("auth", "WEBAUTHN_RP_NAME", "x" * 65, "at most 64", "Acme"),
    ("portal", "AUTH_URL", "auth:8000", "must be a URL like https://", "http://auth:8000"),
    ("portal", "PORTAL_THEME_DIR", "/nonexistent", "must be a folder", "/"),
    ("auth", "REQUIRE_TLS", "perhaps", "must be true or false", "false"),
    ("auth", "TLS_EXEMPT_HOSTS", "mq.example.com", "has one label", "rabbitmq, postgres"),
]  # fmt: skip

# Several that contradict each other: the service, what is set, how the sentence begins, and what is a good set.
AT_ODDS = [
    ("auth", {"SESSION_MAX_LIFETIME": "86400"}, "SESSION_MAX_LIFETIME must not be less than REFRESH_TOKEN_LIFETIME",
     {"SESSION_MAX_LIFETIME": "86400", "REFRESH_TOKEN_LIFETIME": "86400"}),
    ("auth", {"COOKIE_LIFETIME": "3600"}, "COOKIE_LIFETIME must not be less than COOKIE_IDLE",
     {"COOKIE_LIFETIME": "3600", "COOKIE_IDLE": "3600"}),
    ("auth", {"KEPT_COOKIE_IDLE": "7776001"}, "KEPT_COOKIE_LIFETIME must not be less than KEPT_COOKIE_IDLE",
     {"KEPT_COOKIE_IDLE": "7776000"}),
    ("auth", {"GATE_COOKIE_DOMAIN": "example.com", "ISSUER": "https://login.example.org"},
     "GATE_COOKIE_DOMAIN must be the host of ISSUER, or a domain above it", {"ISSUER": "https://login.example.com"}),
    ("portal", {"GATE_COOKIE_DOMAIN": "example.com", "ISSUER": "https://login-example.com"},
     "GATE_COOKIE_DOMAIN must be the host of ISSUER, or a domain above it", {"ISSUER": "https://example.com"}),
    ("auth", {"OTP_LIFETIME": "30"}, "OTP_RESEND_COOLDOWN must be less than OTP_LIFETIME",
     {"OTP_LIFETIME": "30", "OTP_RESENDS": "0"}),
    ("auth", {"THROTTLE_FIRST_WAIT": "301"}, "THROTTLE_LONGEST_WAIT must not be less than THROTTLE_FIRST_WAIT",
     {"THROTTLE_FIRST_WAIT": "300"}),
    ("auth", {"OTP_PEPPERS": KEY}, "OTP_SEALING_KEYS and OTP_PEPPERS have a key in common", {"OTP_PEPPERS": PEPPER}),
    ("users", {"MAILED_CODE_PEPPERS": KEYS["ACCOUNT_SEALING_KEYS"]},
     "ACCOUNT_SEALING_KEYS and MAILED_CODE_PEPPERS have a key in common", {"MAILED_CODE_PEPPERS": PEPPER}),
    ("auth", {"PASSKEYS": "on", "ISSUER": "http://127.0.0.1:8201"},
     "PASSKEYS is on, and browsers take no IP address", {"ISSUER": "http://localhost:8201"}),
    ("auth", {"PASSKEYS": "on", "ISSUER": "http://login.example.com"},
     "WEBAUTHN_ORIGINS, or else ISSUER, must be https", {"PASSKEYS": "auto"}),
    ("auth", {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://login.example.com,https://example.org"},
     "WEBAUTHN_ORIGINS, or else ISSUER, names a page whose host is neither WEBAUTHN_RP_ID nor below",
     {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://login.example.com,https://example.com"}),
    ("auth", {"WEBAUTHN_RP_ID": "example.com", "WEBAUTHN_ORIGINS": "https://notexample.com"},
     "WEBAUTHN_ORIGINS, or else ISSUER, names a page", {"PASSKEYS": "off"}),
    ("notifier", {"SMTP_USERNAME": "mailer"}, "SMTP_PASSWORD is needed with SMTP_USERNAME",
     {"SMTP_USERNAME": "mailer", "SMTP_PASSWORD": CANARY}),
    ("notifier", {"SMTP_PASSWORD": CANARY}, "SMTP_USERNAME is needed with SMTP_PASSWORD",
     {"SMTP_USERNAME": "", "SMTP_PASSWORD": ""}),
]  # fmt: skip


def put(environment: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def test_there_are_forty_of_them() -> None:
    assert len({(name, bad) for _, name, bad, _, _ in BAD}) == len(BAD) >= 40


@pytest.mark.parametrize(("service", "name", "bad", "said", "good"), BAD, ids=lambda value: value.replace(CANARY, "*"))
def test_a_bad_value_is_named_with_what_to_write_and_a_good_one_is_taken(
    environment: pytest.MonkeyPatch, service: str, name: str, bad: str, said: str, good: str
) -> None:
    environment.setenv(name, bad)
    sentence = refusal(service)
    assert sentence.startswith(f"{name}: ")
    assert said in sentence
    checked = CliRunner().invoke(app, ["config", "check", service])
    assert (checked.exit_code, checked.stderr) == (2, f"Settings not valid. {sentence}\n")

    environment.setenv(name, good)
    load(SETTINGS[service])


@pytest.mark.parametrize(("service", "bad", "said", "good"), AT_ODDS)
def test_settings_that_contradict_each_other_are_named_together(
    environment: pytest.MonkeyPatch, service: str, bad: Mapping[str, str], said: str, good: Mapping[str, str]
) -> None:
    with environment.context() as changed:
        put(changed, bad)
        assert refusal(service).startswith(said)

    put(environment, good)
    load(SETTINGS[service])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (f"{BROKER}/,http://two.example.com", "number 2 of the list must begin with amqp:// or amqps://"),
        (f"amqp://auth:{CANARY},x@one/ {BROKER}/", "number 1 of the list is no URL like"),
        (f"{BROKER}/a,{BROKER}/b", "all must end in the same virtual host"),
        (",", "number 1 of the list must begin with"),
    ],
)
def test_the_nodes_of_a_cluster_are_named_one_by_one(environment: pytest.MonkeyPatch, bad: str, said: str) -> None:
    environment.delenv("RABBITMQ_URL")
    environment.setenv("RABBITMQ_URLS", bad)
    sentence = refusal("auth")
    assert sentence.startswith(f"RABBITMQ_URLS: {said}")

    environment.setenv("RABBITMQ_URLS", f"{BROKER}:5672/,amqp://auth:{CANARY}%2C@two/ ,  {BROKER}/")
    settings = load(SETTINGS["auth"])
    assert isinstance(settings, ProcessSettings)
    assert settings.broker_urls == [f"{BROKER}:5672/", f"amqp://auth:{CANARY}%2C@two/", f"{BROKER}/"]
    environment.setenv("REQUIRE_TLS", "true")
    assert "RABBITMQ_URLS: REQUIRE_TLS is on" in refusal("auth")


def test_one_broker_or_several_but_not_both(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RABBITMQ_URLS", f"{BROKER}/")
    assert refusal("auth") == "RABBITMQ_URL: is set, and RABBITMQ_URLS too: leave one of them empty"


BEGINNINGS = st.sampled_from(
    ["", "amqp://", "amqps://a:b@", "https://", "http://h", "postgresql://a:b@", "a@", "A <a@"]
)
PIECES = st.sampled_from(
    [*":/@?#[]%,;=&.-*<>", "://", "xn--a", "::1", "h", "80808", "%40", "sslmode=", "host=", "port="]
)
TEXTS = st.builds("{}{}".format, BEGINNINGS, st.lists(PIECES | st.text(max_size=3), max_size=10).map("".join))


@pytest.mark.parametrize("parse", [to_broker, to_database, to_http, to_issuer, proxy_test, Mailbox.parse])
@given(text=TEXTS)
def test_whatever_is_written_there_is_a_sentence_of_ours_or_none(parse: Callable[[str], object], text: str) -> None:
    """Libraries raise errors of their own about addresses, some of which repeat what was written."""
    raised: list[type[ValueError]] = []
    try:
        parse(text)
    except ValueError as error:
        raised.append(type(error))
    assert set(raised) <= {ValueError}


# --- files


@pytest.mark.parametrize("text", ["\ufeff{}", "{}\n", "{}\r\n", "\ufeff{}\r\n\r\n", "  {}  "])
def test_what_editors_add_to_a_file_is_no_part_of_the_value(
    environment: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "secret").write_text(text.format(DATABASE), encoding="utf-8")
    environment.delenv("AUTH_DATABASE_URL")
    environment.setenv("AUTH_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert load(SETTINGS["auth"]).model_dump()["auth_database_url"].get_secret_value() == DATABASE

    environment.setenv("AUTH_DATABASE_URL", text.format(DATABASE))
    assert load(SETTINGS["auth"]).model_dump()["auth_database_url"].get_secret_value() == DATABASE


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", "\x00", "\x1b"])
def test_a_value_of_two_lines_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path, inside: str) -> None:
    """A client reads a URL without the line break: two secrets of a file would be one."""
    (tmp_path / "secret").write_text(f"{DATABASE}{inside}{DATABASE}")
    environment.delenv("AUTH_DATABASE_URL")
    environment.setenv("AUTH_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert refusal("auth") == "AUTH_DATABASE_URL: must be one line of UTF-8 text, without control characters"
