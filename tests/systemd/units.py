"""The units of deploy/systemd as systemd reads them: a file, then its drop-ins in the order of their names."""

from __future__ import annotations

from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PROCESSES = ("auth", "users", "notifier", "portal")


def settings_file() -> dict[str, str]:
    """The variables of /etc/login2fa/settings.env."""
    return _variables((UNITS / "settings.env").read_text().splitlines())


def commands_file() -> dict[str, str]:
    return _variables((UNITS / "commands.env").read_text().splitlines())


def lines(process: str) -> list[str]:
    unit = f"login2fa@{process}.service"
    drop_ins = [*(UNITS / "login2fa@.service.d").iterdir(), *(UNITS / f"{unit}.d").iterdir()]
    files = [UNITS / "login2fa@.service", *sorted(drop_ins, key=lambda path: path.name)]
    return [line for file in files for line in file.read_text().splitlines()]


def environment(process: str) -> dict[str, str]:
    """The environment that the process is given; `%d` stands for its folder of credentials, `%S` for /var/lib."""
    given = [word for value in _values(process, "Environment") for word in value.split()]
    return settings_file() | _variables(given)


def credentials(process: str) -> dict[str, str]:
    """The file of /etc/login2fa/secrets by the name that the process sees."""
    pairs = (value.split(":/etc/login2fa/secrets/") for value in _values(process, "LoadCredential"))
    return dict(pairs)


def seconds(process: str, directive: str) -> float:
    return float(_values(process, directive)[-1])


def _values(process: str, directive: str) -> list[str]:
    return [line.partition("=")[2] for line in lines(process) if line.startswith(f"{directive}=")]


def _variables(given: list[str]) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in given if "=" in line and not line.startswith("#"))
    return {name: value.strip('"') for name, value in pairs}
