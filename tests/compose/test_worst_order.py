"""Stopped and started in the worst order it heals; and when it is removed, nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from login2fa_testing import Login2FA, Person, UnexpectedAnswer
from tests.compose.containers import OURS, THEIRS, left_of
from tests.e2e_required import require_containers
from tests.polling import wait_until
from tests.servers.docker_cli import docker
from tests.servers.ports import free_ports

START_SECONDS = 120.0


@pytest.fixture
def fresh() -> Iterator[Login2FA]:
    require_containers()
    gateway, mailhog = free_ports(2)
    # Chosen here: Docker would take other ones when it starts a container again.
    with Login2FA(environment={"GATEWAY_PORT": str(gateway), "MAILHOG_PORT": str(mailhog)}) as system:
        yield system


def test_from_the_gateway_backwards_it_heals_and_down_leaves_nothing(fresh: Login2FA) -> None:
    compose = fresh.compose
    customer = fresh.register(is_2fa=True)
    containers = {service: compose.ids(service) for service in (*OURS, *THEIRS)}
    compose.run("stop", seconds=START_SECONDS)

    # By the engine itself: Compose would start what a service depends on.
    docker("start", *containers["gateway"])
    wait_until(lambda: _status(fresh, "/openapi.json") == 200, START_SECONDS)
    assert _status(fresh, "/.well-known/jwks.json") == 502
    for service in ("notifier", "portal", "auth", "users"):
        docker("start", *containers[service])
    wait_until(lambda: _status(fresh, "/.well-known/jwks.json") == 200, START_SECONDS)
    wait_until(lambda: _status(fresh, "/api/v1/users/me") == 401, START_SECONDS)
    for service in ("rabbitmq", "mailhog", "postgres"):
        docker("start", *containers[service])

    compose.wait_until_healthy(*OURS, *THEIRS)
    # Codes go out again with the first heartbeat that comes by the broker.
    wait_until(lambda: _logs_in(fresh, customer), START_SECONDS)
    newcomer = fresh.register(is_2fa=True)
    # Auth may be a while behind users: their relays pause before they look for the broker again.
    wait_until(lambda: _logs_in(fresh, newcomer), START_SECONDS)

    assert left_of(compose.project)
    fresh.close()
    assert left_of(compose.project) == []


def _logs_in(system: Login2FA, person: Person) -> bool:
    try:
        return bool(system.log_in(person).access)
    except UnexpectedAnswer as answered:
        if answered.answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return False
        raise


def _status(system: Login2FA, path: str) -> int | None:
    try:
        return httpx.get(f"{system.base_url}{path}", trust_env=False).status_code
    except httpx.TransportError:
        return None
