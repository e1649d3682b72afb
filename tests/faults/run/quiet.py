"""After a run: until nothing is under way any more, and what the queues and the database then say."""

from __future__ import annotations

import asyncio

from tests.faults.run.world import World
from tests.polling import eventually
from tests.servers.databases import connected

QUIET_SECONDS = 90.0  # the longest delay before a retry is 30 s


async def until_quiet(system: World) -> list[str]:
    """Breaches, in sentences: what is left where nothing should be, and what auth does not know of the accounts."""

    async def nothing_waits() -> bool:
        return not await _left(system)

    try:
        await eventually(nothing_waits, QUIET_SECONDS)
    except AssertionError:
        return [f"I1: still there: {', '.join(await _left(system))}", *await _read_model(system)]
    return [*await _dead_letters(system), *await _read_model(system)]


async def _left(system: World) -> list[str]:
    left = []
    async with connected(system.sql.admin_url) as database:
        for service in ("auth", "users"):
            count = await database.fetchval(f"SELECT count(*) FROM {service}.outbox")
            left += [f"{count} events in the outbox of {service}"] * bool(count)
    queues = await _queues(system)
    return left + [
        f"{count} messages in {name}" for name, count in queues.items() if count and not name.endswith(".dead")
    ]


async def _dead_letters(system: World) -> list[str]:
    found = {name: count for name, count in (await _queues(system)).items() if name.endswith(".dead")}
    return [f"I1: {count} dead letters in {name}" for name, count in found.items() if count]


async def _queues(system: World) -> dict[str, int]:
    said = await asyncio.to_thread(system.servers.broker.ctl, "--silent", "list_queues", "name", "messages")
    return {
        name: int(count) for name, _, count in (line.partition("\t") for line in said.splitlines()) if count.isdigit()
    }


async def _read_model(system: World) -> list[str]:
    """I8: the accounts that auth knows are those of users, at the same version."""
    accounts = "SELECT id, version FROM users.accounts"
    known = "SELECT id, version FROM auth.identities"
    async with connected(system.sql.admin_url) as database:
        differing = await database.fetchval(
            f"SELECT count(*) FROM (({accounts} EXCEPT {known}) UNION ALL ({known} EXCEPT {accounts})) AS difference"
        )
    return [f"I8: {differing} accounts differ between users and auth"] * bool(differing)
