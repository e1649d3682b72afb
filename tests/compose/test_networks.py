"""Who can reach whom, by address: what a process that was taken over could try."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from login2fa_testing import Login2FA
from tests.compose.containers import addresses, replicas
from tests.servers.docker_cli import inspected

PORTS = {
    "postgres": [5432],
    "rabbitmq": [5672, 15672, 25672, 4369],
    "mailhog": [1025, 8025],
    "auth": [8000],
    "users": [8000],
    "notifier": [9000],
    "portal": [8000],
    "gateway": [8080],
}

# What is needed. What is in neither table is not needed, and harmless.
REACHED = {
    ("gateway", "auth"),
    ("gateway", "users"),
    ("gateway", "portal"),
    ("portal", "auth"),
    ("portal", "users"),
    ("users", "auth"),  # its public keys
    ("auth", "postgres"),
    ("users", "postgres"),
    ("auth", "rabbitmq"),
    ("users", "rabbitmq"),
    ("notifier", "rabbitmq"),
    ("notifier", "mailhog"),
}
OUT_OF_REACH = {
    ("gateway", "postgres"),
    ("gateway", "rabbitmq"),
    ("gateway", "mailhog"),
    ("gateway", "notifier"),
    ("portal", "postgres"),
    ("portal", "rabbitmq"),
    ("portal", "mailhog"),
    ("notifier", "postgres"),
    ("notifier", "gateway"),
    ("auth", "mailhog"),
    ("users", "mailhog"),
}
OPEN = "timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo {port}"

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def open_ports(system: Login2FA) -> dict[Pair, set[int]]:
    """By source and target: the ports of the target that can be had from the source, at any of its addresses."""

    def look(pair: Pair) -> set[int]:
        source, target = pair
        places = [(each, port) for each in addresses(replicas(system, target)[0]) for port in PORTS[target]]
        script = " & ".join(OPEN.format(address=address, port=port) for address, port in places)
        done = system.compose.exec(source, "bash", "-c", f"{script} & wait")
        return {int(line) for line in done.stdout.split()}

    pairs = sorted(REACHED | OUT_OF_REACH)
    with ThreadPoolExecutor(len(pairs)) as executor:  # where nothing answers, each waits for its time-out
        return dict(zip(pairs, executor.map(look, pairs), strict=True))


@pytest.mark.parametrize("pair", sorted(REACHED), ids=" to ".join)
def test_who_works_together_is_connected(open_ports: dict[Pair, set[int]], pair: Pair) -> None:
    assert PORTS[pair[1]][0] in open_ports[pair]


@pytest.mark.parametrize("pair", sorted(OUT_OF_REACH), ids=" to ".join)
def test_who_does_not_is_apart(open_ports: dict[Pair, set[int]], pair: Pair) -> None:
    assert open_ports[pair] == set()


@pytest.mark.parametrize("service", ["auth", "users", "notifier", "portal"])
def test_nothing_leaves_for_the_world(system: Login2FA, service: str) -> None:
    names = replicas(system, service)[0]["NetworkSettings"]["Networks"]

    assert names
    assert all(network["Internal"] for network in inspected(*names))
