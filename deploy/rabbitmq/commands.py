"""The users and permissions as rabbitmqctl commands, for a broker that does not load our definitions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from deploy.rabbitmq.definitions import BrokerUser, definitions
from deploy.rabbitmq.grants import grant


def rabbitmqctl_commands(users: list[BrokerUser]) -> str:
    """A sh script with passwords. `printf` is built into the shell, so no process list shows them."""
    content = definitions(users, {})
    lines = [
        "set -eu",
        *(line for user in users for line in _account(user)),
        *(_ctl("set_permissions", each, "user", "configure", "write", "read") for each in content["permissions"]),
        *(
            _ctl("set_topic_permissions", each, "user", "exchange", "write", "read")
            for each in content["topic_permissions"]
        ),
    ]
    return "\n".join(lines) + "\n"


def _account(user: BrokerUser) -> Iterator[str]:
    name, password = shlex.quote(user.name), shlex.quote(user.password)
    for command in ("add_user", "change_password"):
        say = f"printf '%s\\n' {password} | rabbitmqctl -q {command} {name}"
        yield f"{say} || true  # there is one already" if command == "add_user" else say
    yield " ".join(["rabbitmqctl -q set_user_tags", name, *map(shlex.quote, grant(user.role).tags)])


def _ctl(command: str, row: dict[str, str], *fields: str) -> str:
    return shlex.join(["rabbitmqctl", "-q", command, "-p", row["vhost"], *(row[name] for name in fields)])
