"""The command line: exit code 0 and a sentence, or exit code 2 and a sentence that says what to change."""

from __future__ import annotations

import inspect
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from typer.main import get_command
from typer.testing import CliRunner, Result

from services.auth.api.keys import JWKS_MAX_AGE
from services.auth.tokens import keys
from services.auth.tokens.keys import generate
from services.cli import app
from shared.tokens.remote_keys import RemoteKeys
from shared.version import VERSION
from tests.servers.ports import free_ports

CANARY = "canary-0123456789"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env=environment)


def defaults(group: str, name: str) -> dict[str, Any]:
    """Of the options of a command."""
    top: Any = get_command(app)  # of which mypy knows no more than that it is a command
    return {each.name: each.default for each in top.commands[group].commands[name].params}


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.output
    assert "Traceback" not in result.output
    assert CANARY not in result.output


# --- keys


def test_keys_generate_writes_one_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    result = run("keys", "generate", "--dir", tmp_path / "keys")
    (path,) = (tmp_path / "keys").iterdir()
    assert result.exit_code == 0
    assert result.output == f"written: {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_generate_takes_the_folder_from_the_environment(tmp_path: Path) -> None:
    assert run("keys", "generate", JWT_KEYS_DIR=str(tmp_path)).exit_code == 0
    assert len(list(tmp_path.glob("*.pem"))) == 1


def test_keys_generate_replaces_nothing(tmp_path: Path) -> None:
    path = generate(tmp_path)
    assert_refused(run("keys", "generate", "--dir", tmp_path), "holds a key already", "keys rotate")
    assert list(tmp_path.iterdir()) == [path]


def test_keys_generate_into_what_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(run("keys", "generate", "--dir", tmp_path / "file"), str(tmp_path / "file"))


def test_keys_rotate_adds_a_key_that_signs_later_and_removes_those_superseded_long_ago(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    oldest = generate(tmp_path, signs_from=now - timedelta(days=90))
    current = generate(tmp_path, signs_from=now - timedelta(days=60))

    result = run("keys", "rotate", "--dir", tmp_path, "--lead", "900", "--keep", "31")

    (new,) = set(tmp_path.iterdir()) - {oldest, current}
    assert result.exit_code == 0
    assert not oldest.exists()
    assert str(new) in result.output
    assert f"removed: {oldest}" in result.output
    signs_from = datetime.strptime(new.name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert timedelta(seconds=890) < signs_from - now < timedelta(seconds=960)


def test_keys_rotate_within_the_time_that_keys_are_kept_removes_nothing(tmp_path: Path) -> None:
    before = {generate(tmp_path, signs_from=datetime.now(UTC) - timedelta(days=days)) for days in (40, 30)}
    assert "removed" not in run("keys", "rotate", "--dir", tmp_path).output
    assert before < set(tmp_path.iterdir())


def test_keys_rotate_run_twice_makes_one_key(tmp_path: Path) -> None:
    generate(tmp_path, signs_from=datetime.now(UTC) - timedelta(days=1))
    run("keys", "rotate", "--dir", tmp_path)
    before = set(tmp_path.iterdir())

    again = run("keys", "rotate", "--dir", tmp_path)

    assert (again.exit_code, len(before)) == (0, 2)
    assert "the next key is there already (signs from " in again.output
    assert set(tmp_path.iterdir()) == before


def test_keys_rotate_in_an_emergency_makes_a_key_that_signs_at_once_though_the_next_one_is_there(
    tmp_path: Path,
) -> None:
    generate(tmp_path, signs_from=datetime.now(UTC) + timedelta(minutes=10))

    assert "written: " in run("keys", "rotate", "--dir", tmp_path, "--lead", "0").output


@pytest.mark.parametrize("setting", ["REFRESH_TOKEN_LIFETIME", "ACCESS_TOKEN_LIFETIME"])
def test_keys_rotate_keeps_a_key_for_as_long_as_the_longest_token_lives_and_a_day(tmp_path: Path, setting: str) -> None:
    now = datetime.now(UTC)
    old = generate(tmp_path, signs_from=now - timedelta(days=200))
    generate(tmp_path, signs_from=now - timedelta(days=61))

    run("keys", "rotate", "--dir", tmp_path, **{setting: str(61 * 86400)})
    assert old.exists()
    run("keys", "rotate", "--dir", tmp_path, **{setting: str(59 * 86400)})
    assert not old.exists()


@pytest.mark.parametrize("command", ["generate", "rotate"])
def test_commands_for_keys_read_the_settings_of_auth_from_files_too(tmp_path: Path, command: str) -> None:
    (tmp_path / "folder").write_text(f"{tmp_path / 'keys'}\n")

    assert run("keys", command, JWT_KEYS_DIR_FILE=str(tmp_path / "folder")).exit_code == 0

    assert len(list((tmp_path / "keys").glob("*.pem"))) == 1
    assert_refused(run("keys", command), "JWT_KEYS_DIR is not set, nor is JWT_KEYS_DIR_FILE")
    assert_refused(
        run("keys", command, "--dir", tmp_path, ACCESS_TOKEN_LIFETIME="1h"), "ACCESS_TOKEN_LIFETIME: must be"
    )


def test_keys_rotate_publishes_a_key_for_longer_than_all_who_keep_keys_keep_them() -> None:
    given = defaults("keys", "rotate")
    asked_again = inspect.signature(RemoteKeys).parameters["interval"].default
    in_a_cluster = 120

    assert given["lead"] >= JWKS_MAX_AGE + asked_again + keys._RELOAD_AFTER + in_a_cluster


def test_keys_rotate_where_nothing_can_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(run("keys", "rotate", "--dir", tmp_path / "file"), str(tmp_path / "file"))


def test_keys_sealing_prints_a_key_that_seals_and_never_the_same() -> None:
    key = run("keys", "sealing").output.strip()
    assert Fernet(key)
    assert run("keys", "sealing").output.strip() != key


# --- secrets


def test_secrets_says_what_it_has_made_and_makes_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first, second = run("secrets", "--dir", folder), run("secrets", "--dir", folder)
    assert first.exit_code == second.exit_code == 0
    assert f"written: {folder / 'otp_peppers'}\n" in first.output
    assert second.output == f"{folder}: complete\n"


def test_secrets_prints_none(tmp_path: Path) -> None:
    output = run("secrets", "--dir", tmp_path).output
    assert not [path.name for path in tmp_path.iterdir() if path.is_file() and path.read_text() in output]


def test_secrets_writes_the_hosts_that_it_is_given(tmp_path: Path) -> None:
    assert run("secrets", "--dir", tmp_path, "--postgres", "db:6432", "--rabbitmq", "mq").exit_code == 0
    assert "@db:6432/login2fa" in (tmp_path / "auth_database_url").read_text()
    assert "@mq/" in (tmp_path / "notifier_rabbitmq_url").read_text()


def test_secrets_into_what_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(run("secrets", "--dir", tmp_path / "file"), f"Cannot use {tmp_path / 'file'}")


def test_secrets_beside_a_file_that_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "postgres_password").write_bytes(b"\xff\xfe")
    assert_refused(run("secrets", "--dir", tmp_path), f"Cannot use {tmp_path}", "no text")


# --- demo accounts


def test_demo_accounts_want_the_settings_of_the_users_service() -> None:
    assert_refused(run("demo-accounts", DEMO="1"), "Settings not valid", "USERS_DATABASE_URL")


# --- migrate


@pytest.mark.parametrize("arguments", [[], ["auth"], ["users"]])
def test_migrate_without_an_address_says_which_variable_it_wants(arguments: list[str]) -> None:
    assert_refused(run("migrate", *arguments), "MIGRATOR_DATABASE_URL is not set")


def test_migrate_names_a_file_that_can_not_be_read() -> None:
    assert_refused(run("migrate", "auth", MIGRATOR_DATABASE_URL_FILE="/nonexistent"), "MIGRATOR_DATABASE_URL_FILE")


def test_migrate_against_nothing_says_that_the_database_is_not_there() -> None:
    (port,) = free_ports(1)
    url = f"postgresql+asyncpg://migrator:{CANARY}@127.0.0.1:{port}/none"
    assert_refused(run("migrate", "auth", MIGRATOR_DATABASE_URL=url), "Database:", "refused")


def test_migrate_of_a_service_without_a_database_is_refused() -> None:
    assert run("migrate", "notifier").exit_code == 2


# --- what only commands read


@pytest.mark.parametrize(
    ("command", "variable", "bad", "said"),
    [
        (["migrate"], "MIGRATOR_DATABASE_URL", f"mysql://m:{CANARY}@db/x", "must begin with postgresql://"),
        (["roles"], "ADMIN_DATABASE_URL", f"postgresql://a:{CANARY}@db", "must name a user and a database"),
        (["auth", "unlock", "--username", "ann"], "AUTH_DATABASE_URL", "db/x", "must begin with postgresql://"),
        (["dead-letters", "list"], "OPERATOR_RABBITMQ_URL", f"http://o:{CANARY}@mq", "must begin with amqp://"),
        (["dead-letters", "purge"], "OPERATOR_RABBITMQ_URL", f"amqp://o:{CANARY}@mq,two", "must name one broker"),
        (["topology"], "ADMIN_RABBITMQ_URL", f"amqp://a:{CANARY}@mq:80808", "is no URL like amqps://"),
    ],
)
def test_a_command_refuses_what_a_process_would_from_a_file_too(
    tmp_path: Path, command: list[str], variable: str, bad: str, said: str
) -> None:
    (tmp_path / "secret").write_text(f"\ufeff{bad}\r\n", encoding="utf-8")
    for given in ({variable: bad}, {f"{variable}_FILE": str(tmp_path / "secret")}):
        assert_refused(run(*command, **given), f"Settings not valid. {variable}: {said}")
    assert_refused(run(*command), f"{variable} is not set, nor is {variable}_FILE")


# --- help


def test_the_version_is_the_one_that_the_documentation_has() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"login2fa {VERSION}\n")


@pytest.mark.parametrize("port", ["80808", "-1", "http"])
def test_up_refuses_a_port_that_is_none(port: str) -> None:
    assert_refused(run("up", PORT=port), "PORT")


def test_every_command_tells_what_it_is_for() -> None:
    result = run("--help")
    assert result.exit_code == 0
    commands = ("auth", "users", "notifier", "portal", "up", "keys", "dead-letters", "config")
    for command in (*commands, "secrets", "roles", "migrate", "demo-accounts"):
        assert f" {command} " in result.output
