"""The containers of a compose project, by the services of its file."""

from __future__ import annotations

import os
from typing import Any

from login2fa_testing import Login2FA
from tests.servers.docker_cli import docker, inspected

OURS = ("auth", "users", "notifier", "portal", "gateway")
THEIRS = ("postgres", "rabbitmq", "mailhog")

IMAGES = tuple(f"{name}:{os.environ.get('LOGIN2FA_TAG', 'dev')}" for name in ("login2fa", "login2fa-gateway"))


def replicas(system: Login2FA, service: str) -> list[dict[str, Any]]:
    """What the engine knows of the running replicas of `service`, in the order of their numbers."""
    return inspected(*system.compose.ids(service))


def every_container(system: Login2FA) -> list[dict[str, Any]]:
    """Of the whole project, those that have ended too."""
    return inspected(*system.compose.run("ps", "--all", "--quiet").stdout.split())


def addresses(container: dict[str, Any]) -> list[str]:
    """On each of its networks."""
    return [network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()]


def started_at(system: Login2FA, *services: str) -> dict[str, str]:
    """By container: another moment is another start."""
    return {each["Id"]: each["State"]["StartedAt"] for service in services for each in replicas(system, service)}


def left_of(project: str) -> list[str]:
    """What carries the name of `project`: containers, volumes, networks."""
    label = f"label=com.docker.compose.project={project}"
    return [
        *docker("ps", "--all", "--quiet", "--filter", label).split(),
        *docker("volume", "ls", "--quiet", "--filter", label).split(),
        *docker("network", "ls", "--quiet", "--filter", label).split(),
    ]


def dead_letters(system: Login2FA) -> dict[str, int]:
    """How many messages each dead-letter queue holds."""
    done = system.compose.exec("rabbitmq", "rabbitmqctl", "--silent", "list_queues", "name", "messages")
    assert done.returncode == 0, done.stderr
    counts = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    return {queue: int(count) for queue, count in counts.items() if queue.endswith(".dead")}
