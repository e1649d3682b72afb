"""The promises of the units in deploy/systemd, without starting one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.secret_files import Servers, write_missing
from services.configuration import SETTINGS
from tests.servers import apt
from tests.systemd.units import PROCESSES, UNITS, commands_file, credentials, environment, seconds

MOST_EXPOSED = 1.5  # of 10; a unit without any such line has 9.2
BROUGHT = {"smtp_password"}

# Defaults that would lead elsewhere, or to a port that another process has.
CHOSEN = {
    "auth": {"ISSUER", "TRUSTED_PROXIES", "REQUIRE_TLS", "PORT", "MANAGEMENT_PORT"},
    "users": {"ISSUER", "TRUSTED_PROXIES", "REQUIRE_TLS", "PORT", "MANAGEMENT_PORT", "AUTH_JWKS_URL"},
    "notifier": {"REQUIRE_TLS", "MANAGEMENT_PORT", "SMTP_HOST", "SMTP_PASSWORD", "MAIL_FROM", "RABBITMQ_URL"},
    "portal": {"ISSUER", "TRUSTED_PROXIES", "REQUIRE_TLS", "PORT", "MANAGEMENT_PORT", "AUTH_URL", "USERS_URL"},
}


def made(folder: Path) -> set[str]:
    """The secrets that `login2fa secrets` makes, and the one that an operator brings."""
    write_missing(folder, Servers())
    return {path.name for path in folder.iterdir()} | BROUGHT


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_gets_the_settings_that_it_needs_and_knows_all_that_it_gets(process: str) -> None:
    fields = SETTINGS[process].model_fields
    given = {name.removesuffix("_FILE") for name in environment(process)}
    own = {name.removesuffix("_FILE") for name in environment(process) if name.endswith("_FILE")} | CHOSEN[process]
    needed = {name.upper() for name, field in fields.items() if field.is_required()} | CHOSEN[process]
    assert needed <= given
    assert own <= {name.upper() for name in fields}


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_reads_its_own_secrets_and_they_are_those_that_are_made(process: str, tmp_path: Path) -> None:
    seen = {value.removeprefix("%d/") for value in environment(process).values() if value.startswith("%d/")}
    assert seen == credentials(process).keys()
    assert set(credentials(process).values()) <= made(tmp_path / "secrets")


def test_a_shell_of_root_finds_every_secret_that_is_made(tmp_path: Path) -> None:
    files = {Path(value).name for name, value in commands_file().items() if name.endswith("_FILE")}
    # RabbitMQ and Postgres read these themselves, or they are the broker's users of the other two processes.
    others = {"rabbitmq_definitions", "postgres_password", "auth_rabbitmq_url", "notifier_rabbitmq_url", "jwt_keys"}
    assert files | others == made(tmp_path / "secrets")


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_may_finish_what_is_under_way(process: str) -> None:
    grace = SETTINGS[process].model_fields["shutdown_grace"].default
    assert seconds(process, "TimeoutStopSec") >= grace + 5


@pytest.mark.parametrize(
    "unit",
    [*(f"login2fa@{each}" for each in PROCESSES), "login2fa-gateway", "login2fa-migrate", "login2fa-rotate-keys"],
)
def test_a_process_may_do_little(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None and not (apt.can_install() and apt.install("systemd")):
        pytest.skip("needs systemd-analyze: install the package systemd")
    shutil.copytree(UNITS, tmp_path / "etc" / "systemd" / "system", symlinks=True)
    command = ["systemd-analyze", "security", "--offline=true", f"--root={tmp_path}", "--no-pager", f"{unit}.service"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    (exposure,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", said)
    assert float(exposure) <= MOST_EXPOSED, said
