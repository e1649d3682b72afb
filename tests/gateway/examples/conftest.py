"""An upstream behind a gateway of the examples, and auth as the gateway reaches it: over a line that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ENDED_SESSIONS
from shared.web.process import listen, serving
from tests.auth_steps import Accounts
from tests.composed import AuthApp, Keys, auth_settings, keys, running_auth
from tests.fakes import StandInBus
from tests.gateway.examples.gateways import Gateway, as_it_is
from tests.servers.databases import Databases, copied
from tests.servers.echo import Echo, echoing
from tests.servers.ports import free_ports
from tests.servers.postgres import Postgres
from tests.servers.tcp_proxy import TcpProxy

__all__ = ("keys",)

ISSUER = "https://login.test"
KEYS_FOR = "1s"
ORIGIN = "https://app.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`http` is a client of the gateway; `upstream` what stands behind it; `line` leads from the gateway to auth."""

    http: httpx.AsyncClient
    upstream: Echo
    line: TcpProxy


@pytest.fixture(scope="module")
async def auth_databases(postgres: Postgres, database_template: str) -> AsyncIterator[Databases]:
    async with copied(postgres, database_template) as databases:
        yield databases


@pytest.fixture(scope="module")
async def auth_bus() -> AsyncIterator[MemoryBus]:
    bus = StandInBus()
    await bus.stand_in(ENDED_SESSIONS.queue)
    yield bus
    await bus.close()


@pytest.fixture(scope="module")
async def auth(auth_databases: Databases, keys: Keys, auth_bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(auth_databases, keys, issuer=ISSUER), auth_bus) as auth:
        yield auth


@pytest.fixture(scope="module")  # as auth, which is to be told of all the administrators that it knows
def accounts(auth: AuthApp, auth_bus: MemoryBus, keys: Keys) -> Accounts:
    return Accounts(auth_bus, keys.account_sealer)


@pytest.fixture
def protected(running_site: Site) -> Iterator[Site]:
    """`running_site` is the module's own; what the test before has left there is gone."""
    running_site.upstream.seen.clear()
    yield running_site
    running_site.upstream.status, running_site.upstream.body = 200, b"from the upstream"


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


@asynccontextmanager
async def site(
    gateway: Gateway, auth: AuthApp, folder: Path, edited: Callable[[str], str] = as_it_is, behind: int = 0
) -> AsyncIterator[Site]:
    """The example, `edited`, in front of an upstream of its own, or of the one at the port `behind`."""
    async with serving_on_a_line(auth) as line, echoing() as upstream, AsyncExitStack() as started:
        variables = {
            "BIND": "127.0.0.1",
            "PORT": str(free_ports(1)[0]),
            "AUTH_HOST": "127.0.0.1",
            "AUTH_PORT": str(urlsplit(line.url("http://auth")).port),
            "UPSTREAM_HOST": "127.0.0.1",
            "UPSTREAM_PORT": str(behind or upstream.port),
            "ISSUER": ISSUER,
            "KEYS_FOR": KEYS_FOR,
            "ORIGIN": ORIGIN,
        }
        # In a thread: Envoy fetches the public keys before it listens, and auth serves them in this loop.
        url = await asyncio.to_thread(started.enter_context, gateway(edited, variables, folder))
        http = await started.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
        yield Site(http=http, upstream=upstream, line=line)


@asynccontextmanager
async def serving_on_a_line(auth: AuthApp) -> AsyncIterator[TcpProxy]:
    bound = listen("127.0.0.1", 0, hint="")
    line = TcpProxy("127.0.0.1", bound.getsockname()[1])
    async with serving(auth.app, bound, grace=1):
        await line.start()
        try:
            yield line
        finally:
            await line.stop()
