"""Connects to the first of several servers that takes writes."""

from __future__ import annotations

from functools import partial
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.configuration.database_url import Server, driver_arguments, servers

# A server that is away, ends, begins, or is a standby. A refusal, as of a password, is final as with libpq.
_NOT_THIS_ONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TargetServerAttributeNotMatched,
)


def engine(url: str, *, timeout: float, connect: dict[str, Any] | None = None, **options: Any) -> AsyncEngine:
    """`timeout`: seconds for a connection, whatever the number of servers; `connect` is for the driver."""
    arguments = driver_arguments(url) | (connect or {})
    among = servers(url)
    # Each has a share of the time: left to itself, asyncpg waits all of it for the first one that is frozen.
    creator = partial(_connect, among, arguments | {"timeout": timeout / len(among)})
    return create_async_engine("postgresql+asyncpg://", async_creator=creator, **options)


async def _connect(among: list[Server], arguments: dict[str, Any]) -> Any:
    last_error: Exception | None = None
    for server in list(among):
        host, port = server
        try:
            connection = await asyncpg.connect(host=host, port=port, **arguments)
        except _NOT_THIS_ONE as error:
            last_error = error
            continue
        among.sort(key=lambda each: each != server)  # the first to be asked for the next one: the others may be frozen
        return connection
    raise last_error or RuntimeError("no server")
