"""Behind a gateway that keeps its connections to auth, nobody gets an answer that is somebody else's.

The gateways are as their own documentation puts them before a service, and let every upgrade through that they can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest

from tests.auth_steps import Accounts
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp
from tests.gateway.examples.gateways import ASKING
from tests.raw_http import SMUGGLED, UPGRADES, Watched, connected, request, watched
from tests.servers.ports import free_ports

VICTIMS = 12
NOTHING_SECONDS = 5.0

IN_FRONT = {
    "nginx": """
        map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
        upstream auth { server ${AUTH_HOST}:${AUTH_PORT}; keepalive 4; }
        server {
            listen ${BIND}:${PORT};
            location / {
                proxy_pass http://auth;
                proxy_http_version 1.1;
                proxy_request_buffering off;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
            }
        }
    """,
    "caddy": """
        {
            admin off
        }
        http://:{$PORT} {
            bind {$BIND}
            reverse_proxy {$AUTH_HOST}:{$AUTH_PORT}
        }
    """,
    "envoy": """
        static_resources:
          listeners:
            - name: public
              address: {socket_address: {address: "${BIND}", port_value: ${PORT}}}
              filter_chains:
                - filters:
                    - name: envoy.filters.network.http_connection_manager
                      typed_config:
                        "@type": type.googleapis.com/${NETWORK}.http_connection_manager.v3.HttpConnectionManager
                        stat_prefix: public
                        upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: TLS/1.2}, {upgrade_type: foo/2}]
                        http_filters:
                          - name: envoy.filters.http.router
                            typed_config:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                        route_config:
                          virtual_hosts:
                            - {name: auth, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: auth}}]}
          clusters:
            - name: auth
              type: STATIC
              connect_timeout: 1s
              load_assignment:
                cluster_name: auth
                endpoints:
                  - lb_endpoints:
                      - endpoint:
                          address: {socket_address: {address: "${AUTH_HOST}", port_value: ${AUTH_PORT}}}
    """,
}


@pytest.fixture
async def behind(auth: AuthApp) -> AsyncIterator[Watched]:
    async with watched(auth.app) as behind:
        yield behind


@pytest.fixture(params=IN_FRONT)
async def port(request: pytest.FixtureRequest, behind: Watched, tmp_path: Path) -> AsyncIterator[int]:
    """Of the gateway."""
    (port,) = free_ports(1)
    variables = {"BIND": "127.0.0.1", "PORT": str(port), "AUTH_HOST": "127.0.0.1", "AUTH_PORT": str(behind.port)}
    variables["NETWORK"] = "envoy.extensions.filters.network"
    gateway = ASKING[request.param](lambda _example: IN_FRONT[request.param], variables, tmp_path)
    await asyncio.to_thread(gateway.__enter__)
    yield port
    await asyncio.to_thread(gateway.__exit__, None, None, None)


async def attack(port: int, upgrade: list[str], framing: str) -> bytes:
    """The answer to a request with an upgrade whose body, in a packet of its own, is a request too.

    It is empty where none came in NOTHING_SECONDS: Envoy leaves some upgrades without one.
    """
    body = SMUGGLED if framing.startswith("Content-Length") else b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    head = request(f"POST {AUTH}/refresh-token", [*upgrade, framing, "Content-Type: application/json"])
    async with connected(port) as connection:
        await connection.send(head)
        await asyncio.sleep(0)
        await connection.send(body)
        try:
            async with asyncio.timeout(NOTHING_SECONDS):
                answer = await connection.answer()
        except TimeoutError:
            return b""
        return b"%d %b" % (answer.status, answer.body)


async def attack_until(over: asyncio.Event, port: int) -> list[bytes]:
    answers = []
    framings = (f"Content-Length: {len(SMUGGLED)}", "Transfer-Encoding: chunked")
    while not over.is_set():
        answers += [await attack(port, upgrade, framing) for upgrade in UPGRADES.values() for framing in framings]
    return answers


async def test_who_logs_in_beside_an_attacker_gets_their_own_tokens(
    port: int, behind: Watched, accounts: Accounts
) -> None:
    over = asyncio.Event()
    attackers = [asyncio.create_task(attack_until(over, port)) for _ in range(3)]
    victims = [await accounts.new() for _ in range(VICTIMS)]

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
        for victim in victims:
            answer = await http.post(f"{AUTH}/token", json={"username": victim.username, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
            assert claims["sub"] == str(victim.account_id)

    over.set()
    answers = [answer for each in await asyncio.gather(*attackers) for answer in each if answer]
    assert answers
    assert [answer for answer in answers if not answer.startswith(b"4") or b"access_token" in answer] == []
    assert set(behind.seen) == {f"{AUTH}/token", f"{AUTH}/refresh-token"}
