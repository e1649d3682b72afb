"""S46, before anything is connected: an address in plain is refused at the start, in a sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from services.cli import app
from services.configuration import SETTINGS
from shared.configuration.settings import SettingsInvalid, load
from tests import edge_keys
from tests.good_settings import nothing_but
from tests.servers.tls_mail import self_signed

CANARY = "canary-0123456789"
ENCRYPTED = {
    "RABBITMQ_URL": "amqps://login2fa:x@mq.example.com/",
    "AUTH_DATABASE_URL": "postgresql+asyncpg://auth:x@db.example.com/login2fa?sslmode=verify-full",
    "USERS_DATABASE_URL": "postgresql+asyncpg://users:x@db.example.com/login2fa?sslmode=verify-full",
    "AUTH_JWKS_URL": "https://login.example.com/.well-known/jwks.json",
    "ISSUER": "https://login.example.com",
    "AUTH_URL": "https://auth.example.com",
    "USERS_URL": "https://users.example.com",
    "SMTP_HOST": "mail.example.com",
    "SMTP_SECURITY": "starttls",
    "JWT_KEYS_DIR": "/nowhere",
    "OTP_PEPPERS": "0123456789abcdef" * 2,
    "OTP_SEALING_KEYS": Fernet.generate_key().decode(),
    "ACCOUNT_SEALING_KEYS": Fernet.generate_key().decode(),
    **{name: key for service in SETTINGS for name, key in edge_keys.environment_of(service).items()},
    "REQUIRE_TLS": "true",
}
LOOPBACK = ("127.0.0.1", "127.8.9.10", "localhost", "[::1]", "[::ffff:127.0.0.1]")
ELSEWHERE = (
    "rabbitmq",
    "10.0.0.5",
    "192.168.1.2",
    "[fd00::5]",
    "127.0.0.1.example.com",
    "localhost.example.com",
    "0x7f",
)

PLAIN = [
    *(("RABBITMQ_URL", f"amqp://login2fa:{CANARY}@{host}:5672/") for host in ELSEWHERE),
    ("RABBITMQ_URL", f"amqp://127.0.0.1:{CANARY}@mq.example.com/"),
    *(
        ("AUTH_DATABASE_URL", f"postgresql+asyncpg://auth:{CANARY}@{where}")
        for where in (
            "db/login2fa",
            "db/login2fa?sslmode=prefer",
            "db/login2fa?sslmode=require",
            "db/login2fa?sslmode=verify-ca",
            "/login2fa?host=db:5432",
            "/login2fa?host=127.0.0.1&host=db",
            "/login2fa?host=/run/postgresql&host=db:5432",
            "/login2fa?host=/run/postgresql,db&port=5432,5432",
            "/login2fa?host=127.0.0.1,db",
            "/login2fa",  # wherever the environment says
        )
    ),
    ("USERS_DATABASE_URL", f"postgresql+asyncpg://users:{CANARY}@db/login2fa"),
    ("AUTH_JWKS_URL", "http://auth:8000/.well-known/jwks.json"),
    ("AUTH_JWKS_URL", "http://127.0.0.1@login.example.com/.well-known/jwks.json"),
    ("AUTH_URL", "http://auth:8000"),
    ("USERS_URL", "http://users:8000"),
    ("ISSUER", "http://login.example.com"),
    ("SMTP_SECURITY", "none"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return nothing_but(monkeypatch, ENCRYPTED)


def refusals() -> list[str]:
    """What the processes say that refuse to start."""
    said = []
    for settings in SETTINGS.values():
        try:
            load(settings)
        except SettingsInvalid as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize(("variable", "value"), PLAIN)
def test_an_address_in_plain_is_refused_and_named_and_without_the_demand_it_is_not(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    assert refusals() == []
    environment.setenv(variable, value)
    said = refusals()
    assert said
    for sentence in said:
        assert (variable if variable != "SMTP_SECURITY" else "SMTP_HOST") in sentence
        assert "REQUIRE_TLS is on" in sentence
        assert CANARY not in sentence

    environment.setenv("REQUIRE_TLS", "false")
    assert refusals() == []


@pytest.mark.parametrize("host", LOOPBACK)
def test_the_machine_itself_may_be_spoken_to_in_plain(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("RABBITMQ_URL", f"amqp://login2fa:x@{host}/")
    environment.setenv("AUTH_DATABASE_URL", f"postgresql+asyncpg://auth:x@{host}/login2fa")
    environment.setenv("USERS_DATABASE_URL", "postgresql+asyncpg://users:x@/login2fa?host=/run/postgresql")
    environment.setenv("AUTH_JWKS_URL", f"http://{host}:8000/.well-known/jwks.json")
    environment.setenv("SMTP_HOST", host.strip("[]"))
    environment.setenv("SMTP_SECURITY", "none")
    assert refusals() == []


def test_containers_of_one_machine_are_left_out_by_name_and_nothing_else_can_be(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("RABBITMQ_URL", "amqp://login2fa:x@rabbitmq/")
    environment.setenv("AUTH_URL", "http://auth:8000")
    environment.setenv("TLS_EXEMPT_HOSTS", "auth,rabbitmq")
    assert refusals() == []

    environment.setenv("TLS_EXEMPT_HOSTS", "postgres")
    assert len(refusals()) == len(SETTINGS)
    for name in ("mq.example.com", "10.0.0.5", "::1", "*", "2130706433", "mq."):
        environment.setenv("TLS_EXEMPT_HOSTS", f"rabbitmq,{name}")
        for sentence in refusals():
            assert sentence.startswith("TLS_EXEMPT_HOSTS: a container's name has one label")


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["migrate"], "MIGRATOR_DATABASE_URL"),
        (["roles"], "ADMIN_DATABASE_URL"),
        (["auth", "unlock", "--username", "ann"], "AUTH_DATABASE_URL"),
        (["auth", "reset-factors", "--username", "ann"], "AUTH_DATABASE_URL"),
        (["dead-letters", "list"], "OPERATOR_RABBITMQ_URL"),
        (["dead-letters", "replay"], "OPERATOR_RABBITMQ_URL"),
        (["dead-letters", "purge", "--yes"], "OPERATOR_RABBITMQ_URL"),
        (["topology"], "ADMIN_RABBITMQ_URL"),
        (["auth"], "AUTH_DATABASE_URL"),
        (["users"], "USERS_DATABASE_URL"),
        (["notifier"], "RABBITMQ_URL"),
    ],
)
def test_a_command_refuses_like_a_process(environment: pytest.MonkeyPatch, command: list[str], variable: str) -> None:
    scheme = "amqp" if variable.endswith("RABBITMQ_URL") else "postgresql+asyncpg"
    environment.setenv(variable, f"{scheme}://somebody:{CANARY}@10.255.255.1/login2fa")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output
    assert f"{variable}: REQUIRE_TLS is on, and 10.255.255.1 would be spoken to without TLS" in result.stderr
    assert CANARY not in result.output


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RABBITMQ_URL", "amqps://a:b@mq/?no_verify_ssl=1", "not known here: no_verify_ssl"),
        ("RABBITMQ_URL", "amqps://a:b@mq/?cafile=/nonexistent.pem", "no certificate can be read from /nonexistent.pem"),
        ("RABBITMQ_URL", "https://a:b@mq/", "must begin with amqp:// or amqps://"),
        ("AUTH_DATABASE_URL", "postgresql+asyncpg://a:b@db/x?sslmode=full", "sslmode must be one of"),
        ("AUTH_DATABASE_URL", "postgresql+asyncpg://a:b@db/x?ssl=true", "not known here: ssl"),
        ("AUTH_DATABASE_URL", "postgresql+asyncpg://a:b@db/x?sslrootcert=/ca.pem", "sslrootcert goes with"),
        ("AUTH_DATABASE_URL", "postgresql+asyncpg://a:b@db/x?sslmode=require&sslrootcert=/ca.pem", "goes with"),
        ("AUTH_DATABASE_URL", "postgresql+asyncpg://a:b@db/x?sslmode=verify-full&sslrootcert=/no.pem", "/no.pem"),
        ("AUTH_JWKS_URL", "file:///keys.json", "must be a URL like https://"),
        ("SSL_CERT_FILE", "/nonexistent.pem", "no certificate can be read from /nonexistent.pem"),
    ],
)
def test_what_would_be_overlooked_is_refused_with_or_without_the_demand(
    environment: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    for demanded in ("true", "false"):
        environment.setenv("REQUIRE_TLS", demanded)
        environment.setenv(variable, value)
        sentences = refusals()
        assert sentences
        assert all(variable in sentence for sentence in sentences if variable != "SSL_CERT_FILE")
        assert all(said in sentence for sentence in sentences), sentences


def test_a_file_of_authorities_of_ones_own_is_taken(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = self_signed(tmp_path)
    for variable in ("AUTH_DATABASE_URL", "USERS_DATABASE_URL"):
        environment.setenv(variable, f"{ENCRYPTED[variable]}&sslrootcert={own}")
    environment.setenv("RABBITMQ_URL", f"{ENCRYPTED['RABBITMQ_URL']}?cafile={own}")
    assert refusals() == []
