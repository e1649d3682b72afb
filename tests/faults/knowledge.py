"""What auth knows, and what waits to be told: looked up in the database, as an operator would."""

from __future__ import annotations

from shared.messaging.audit_events import AuthAudited, UsersAudited
from shared.messaging.events import InStep
from tests.polling import eventually
from tests.servers.databases import connected
from tests.stacks.stack import Person, Stack

SECONDS = 30.0  # a broker that comes back is noticed after a pause that grows


async def waiting_events(stack: Stack, service: str) -> int:
    """Rows in the outbox of `auth` or `users` that somebody waits for: no audit trail, and not what is told often."""
    url = stack.auth_database_url if service == "auth" else stack.users_database_url
    async with connected(url) as database:
        query = f"SELECT count(*) FROM {service}.outbox WHERE type <> ALL ($1)"
        return int(await database.fetchval(query, [AuthAudited.type, UsersAudited.type, InStep.type]))


async def until_told(stack: Stack, service: str) -> None:
    """Until nothing waits: a message is delivered a moment before its row is gone."""

    async def nothing_waits() -> bool:
        return await waiting_events(stack, service) == 0

    await eventually(nothing_waits, SECONDS)


async def is_known(stack: Stack, person: Person, version: int = 1) -> bool:
    async with connected(stack.auth_database_url) as database:
        query = "SELECT version >= $2 FROM auth.identities WHERE id = $1"
        return bool(await database.fetchval(query, person.id, version))


async def until_known(stack: Stack, person: Person, version: int = 1) -> None:
    """Until auth has learnt of that state of the account."""

    async def known() -> bool:
        return await is_known(stack, person, version)

    await eventually(known, SECONDS)
