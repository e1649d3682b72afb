"""An operator is asked for a password once it is known to be of use, and not to be told afterwards that it is not."""

from __future__ import annotations

from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from services import users_commands
from services.cli import app
from tests import edge_keys
from tests.builders import PASSWORD
from tests.composed import Keys, keys
from tests.servers.databases import Databases

__all__ = ("keys",)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry for each time that somebody was asked."""
    times: list[bool] = []

    def answer(*, stdin: bool) -> str:
        times.append(stdin)
        return PASSWORD

    monkeypatch.setattr(users_commands, "_password", answer)
    return times


@pytest.fixture
def environment(databases: Databases, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://not-used")
    monkeypatch.setenv("USERS_DATABASE_URL", databases.users_url)
    monkeypatch.setenv("ACCOUNT_SEALING_KEYS", keys.account_sealing)
    for name, value in edge_keys.environment_of("users").items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def users(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["users", *arguments])


def create(email: str, *more: str) -> Result:
    return users("create-admin", "--email", email, "--stdin", *more)


def refused(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_for_a_new_administrator(environment: pytest.MonkeyPatch, asked: list[bool]) -> None:
    email = f"ann.{uuid4().hex}@example.com"
    assert create(email).output == f"{email} is an administrator\n"
    assert len(asked) == 1

    refused(create(email), "User already exists")
    refused(create(f"other.{email}", "--username", email.upper()), "must be the account's own address")
    refused(create("nonsense"), "Email not valid")
    refused(create(f"bob.{email}", "--name", "http://here"), "name: must not contain")
    environment.setenv("USERS_DATABASE_URL", "postgresql://users:x@127.0.0.1:1/none")
    refused(create(f"bob.{email}"), "Database: ")
    environment.delenv("USERS_DATABASE_URL")
    refused(create(f"bob.{email}"), "USERS_DATABASE_URL is not set")
    assert len(asked) == 1


def test_for_another_password(environment: pytest.MonkeyPatch, asked: list[bool]) -> None:
    email = f"ann.{uuid4().hex}@example.com"
    create(email)

    refused(users("set-password", "--stdin", "--email", f"no.{email}"), "Item not found")
    refused(users("set-password", "--stdin"), "Name the account by one of")
    assert len(asked) == 1
    assert users("set-password", "--stdin", "--email", email).exit_code == 0
    assert len(asked) == 2


def test_nor_whether_an_account_is_to_go_that_is_not_there(environment: pytest.MonkeyPatch) -> None:
    gone = users("delete", "--email", f"nobody.{uuid4().hex}@example.com")
    refused(gone, "Item not found")
    assert "Delete this account" not in gone.output


def test_without_a_terminal_standard_input_is_named(environment: pytest.MonkeyPatch, asked: list[bool]) -> None:
    refused(users("create-admin", "--email", "ann@example.com"), "give it on standard input, with --stdin")
    assert asked == []
