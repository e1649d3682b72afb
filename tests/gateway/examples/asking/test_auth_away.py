"""While auth or its database is away nobody passes."""

from __future__ import annotations

import pytest

from shared.messaging.memory import MemoryBus
from tests.composed import Keys, auth_settings, bearer, running_auth
from tests.gateway.examples.conftest import ISSUER, Site, site
from tests.gateway.examples.gateways import Gateway
from tests.polling import eventually
from tests.servers.databases import Databases
from tests.servers.ports import free_ports

# Never a 401, on which a client throws its token away.
AUTH_AWAY = {"nginx": 503, "caddy": 502, "envoy": 503}
DATABASE_AWAY = {"nginx": 503, "caddy": 403, "envoy": 403}


async def test_while_auth_is_away_nobody_passes_and_afterwards_all_is_well(
    protected: Site, gateway_name: str, access: str
) -> None:
    protected.line.refuse()
    protected.line.cut()
    try:
        for token in (bearer(access), bearer("x"), {}):
            assert (await protected.http.get("/", headers=token)).status_code == AUTH_AWAY[gateway_name]
        assert protected.upstream.seen == []
    finally:
        await protected.line.start()

    async def passes() -> bool:
        return (await protected.http.get("/", headers=bearer(access))).status_code == 200

    await eventually(passes)


async def test_while_the_database_of_auth_is_away_nobody_passes(
    gateway: Gateway,
    gateway_name: str,
    auth_databases: Databases,
    keys: Keys,
    access: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (nobody,) = free_ports(1)
    away = auth_settings(
        auth_databases, keys, issuer=ISSUER, auth_database_url=f"postgresql+asyncpg://auth:x@127.0.0.1:{nobody}/none"
    )
    async with (
        running_auth(away, MemoryBus()) as auth,
        site(gateway, auth, tmp_path_factory.mktemp("away")) as protected,
    ):
        answer = await protected.http.get("/", headers=bearer(access))

    assert (answer.status_code, answer.json()["code"]) == (DATABASE_AWAY[gateway_name], "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert protected.upstream.seen == []
