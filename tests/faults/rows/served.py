"""Auth and its management port on real sockets, as a process serves them; and what its pool still holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.types import ASGIApp

from shared.web.process import listen, management, serving
from tests.composed import AuthApp
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually

GRACE = 5.0


@dataclass(frozen=True)
class Served:
    """`http` asks the API and `operator` the management port, with as many connections as there are requests."""

    auth: AuthApp
    operator: httpx.AsyncClient


@asynccontextmanager
async def served(path: CodesPath) -> AsyncIterator[Served]:
    async with AsyncExitStack() as parts:

        async def client_of(app: ASGIApp) -> httpx.AsyncClient:
            bound = listen("127.0.0.1", 0, hint="")
            await parts.enter_async_context(serving(app, bound, grace=GRACE))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            limits = httpx.Limits(max_connections=None)
            client = httpx.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE, trust_env=False)
            return await parts.enter_async_context(client)

        app, checks = path.auth.app, path.auth.checks
        http, operator = await client_of(app), await client_of(management(checks))
        yield Served(AuthApp(app=app, http=http, checks=checks), operator)


async def nothing_is_held(path: CodesPath) -> None:
    """Every connection is back in the pool, and none of them is in a transaction; the server knows of no others."""
    pool = path.auth.parts.database._engine.pool
    begun = (
        "SELECT count(*) FILTER (WHERE xact_start IS NOT NULL) AS busy, count(*) AS open FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'auth' AND pid <> pg_backend_pid()"
    )

    async def back() -> bool:
        held = pool.checkedout()  # type: ignore[attr-defined] # of the kind of pool that ours is
        seen = await path.sql.fetchrow(begun)
        assert (held, seen["busy"]) == (0, 0), (pool.status(), seen)
        return bool(seen["open"] == pool.checkedin())  # type: ignore[attr-defined] # the same

    await eventually(back, PATIENCE)
