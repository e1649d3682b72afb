"""The examinations of the doctor, and how it says what it has found."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from services.auth.settings import AuthSettings
from services.cli import app
from services.configuration import SETTINGS
from services.doctor.checks import services_here
from services.doctor.database import database
from services.doctor.examination import Check, examine
from services.doctor.findings import Finding, Name, ok
from services.doctor.keys import fingerprints
from services.doctor.secret_files import secret_files
from services.users.settings import UsersSettings
from shared.configuration.settings import load
from tests.good_settings import GOOD, KEYS, environment, nothing_but

__all__ = ("environment",)

DOCUMENT = Path(__file__).parents[2] / "docs" / "doctor.md"


def test_every_finding_has_a_section_to_read_on_and_no_section_is_of_none() -> None:
    assert set(re.findall(r"^## `?([a-z-]+)`?$", DOCUMENT.read_text(), re.MULTILINE)) == set(get_args(Name))


async def test_a_check_that_does_not_end_or_breaks_is_a_finding_and_delays_no_other() -> None:
    async def silent() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def broken() -> list[Finding]:
        raise ValueError("a secret")

    async def good() -> list[Finding]:
        return [ok("api", "AUTH_URL", "answers")]

    checks = [Check("broker", "RABBITMQ_URL", silent), Check("schema", "URL", broken), Check("api", "AUTH_URL", good)]
    found = await examine(checks, seconds=0.05)

    assert [(each.name, each.level) for each in found] == [("broker", "fail"), ("schema", "fail"), ("api", "ok")]
    assert "no answer within 0.05 s" in found[0].said
    assert "a secret" not in str(found)


async def test_a_database_that_says_nothing_is_told_to_give_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.doctor.database._CONNECT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (found,) = await database("auth", f"postgresql://auth:secret@127.0.0.1:{silent.getsockname()[1]}/login2fa")

    assert (found.name, found.said) == ("database", "no answer in time")


@pytest.mark.parametrize("service", sorted(SETTINGS.keys() - {"portal"}))
def test_where_one_service_runs_it_alone_is_examined_even_if_a_variable_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    required = [name.upper() for name, field in SETTINGS[service].model_fields.items() if field.is_required()]
    nothing_but(monkeypatch, {name: GOOD[name] for name in required})
    assert services_here() == [service]

    monkeypatch.delenv(required[-1])
    assert services_here() == [service]


@pytest.mark.usefixtures("environment")
def test_where_all_services_run_all_are_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert services_here() == ["auth", "users", "notifier"]

    monkeypatch.setenv("AUTH_URL", "http://auth:8000")
    assert services_here() == [*SETTINGS]


def test_where_there_are_no_settings_it_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_but(monkeypatch, {})
    answer = CliRunner().invoke(app, ["doctor"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "Run it where a service runs" in answer.stderr


@pytest.mark.usefixtures("environment")
async def test_equal_keys_have_equal_fingerprints_in_two_processes_and_no_key_is_shown() -> None:
    of_auth = {each.where: each.said for each in await fingerprints(load(AuthSettings))}
    of_users = {each.where: each.said for each in await fingerprints(load(UsersSettings))}

    shared = of_auth.keys() & of_users.keys()
    assert shared == {"ACCOUNT_SEALING_KEYS", "USERS_TO_AUTH_KEYS", "AUTH_TO_USERS_KEYS"}
    assert {name: of_auth[name] for name in shared} == {name: of_users[name] for name in shared}
    assert len(set(of_auth.values())) == len(of_auth)
    assert not [key for key in KEYS.values() if key in f"{of_auth}{of_users}"]


@pytest.mark.usefixtures("environment")
def test_a_file_open_to_a_group_that_the_process_has_is_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Kubernetes hands out secrets so: root's, and read by the group of the pod."""
    path = tmp_path / "peppers"
    path.write_text(GOOD["OTP_PEPPERS"])
    path.chmod(0o440)
    monkeypatch.delenv("OTP_PEPPERS")
    monkeypatch.setenv("OTP_PEPPERS_FILE", str(path))
    settings = load(AuthSettings)
    assert [each.level for each in asyncio.run(secret_files(settings))] == ["ok"]

    monkeypatch.setattr(os, "getegid", lambda: path.stat().st_gid + 1)
    monkeypatch.setattr(os, "getgroups", list)
    assert [each.level for each in asyncio.run(secret_files(settings))] == ["warn"]
