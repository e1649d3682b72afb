"""A service that can not start says why in one sentence that names the variable, and ends with 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.stacks.processes import Processes
from tests.stacks.program import Program


async def refusal(stack: Processes, service: str, folder: Path, **changes: str) -> str:
    """What `service` says with these settings changed; one changed to nothing is left out."""
    settings = next(program.settings for program in stack.programs if program.name == service) | changes
    settings = {name: value for name, value in settings.items() if value}
    program = Program(service, service, settings=settings, folder=folder)
    program.start()
    try:
        code = await program.ended()
    finally:
        program.kill()
    said = program.output().strip()
    assert code == 2, said
    assert len(said.splitlines()) == 1, said
    return said


FREE = {"PORT": "0", "MANAGEMENT_PORT": "0"}


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("auth", "AUTH_DATABASE_URL"),
        ("users", "MAILED_CODE_PEPPERS"),
        ("notifier", "RABBITMQ_URL"),
        *(
            pytest.param(service, variable, marks=pytest.mark.long)
            for service, variable in [
                ("auth", "JWT_KEYS_DIR"),
                ("auth", "OTP_PEPPERS"),
                ("auth", "FACTOR_SEALING_KEYS"),
                ("users", "USERS_DATABASE_URL"),
                ("users", "ACCOUNT_SEALING_KEYS"),
                ("users", "USERS_TO_AUTH_KEYS"),
                ("notifier", "OTP_SEALING_KEYS"),
            ]
        ),
    ],
)
async def test_a_setting_that_is_missing(stack: Processes, tmp_path: Path, service: str, variable: str) -> None:
    said = await refusal(stack, service, tmp_path, **FREE, **{variable: ""})

    assert variable in said


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [("auth", "OTP_SEALING_KEYS", "canary-battery"), ("users", "ARGON2_PASSES", "1"), ("notifier", "SMTP_PORT", "x")],
)
async def test_a_setting_that_is_wrong_is_named_and_its_value_is_not(
    stack: Processes, tmp_path: Path, service: str, variable: str, value: str
) -> None:
    said = await refusal(stack, service, tmp_path, **FREE, **{variable: value})

    assert variable in said
    assert "canary" not in said


async def test_a_port_in_use(stack: Processes, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])

        said = await refusal(stack, "users", tmp_path, PORT=port, MANAGEMENT_PORT="0")

    assert f":{port}" in said


async def test_a_folder_without_keys(stack: Processes, tmp_path: Path) -> None:
    said = await refusal(stack, "auth", tmp_path, **FREE, JWT_KEYS_DIR=str(tmp_path))

    assert f"JWT_KEYS_DIR: {tmp_path}" in said
    assert "keys generate" in said
