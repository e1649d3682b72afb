"""After a run: until nothing is under way any more, and what the queues and the databases then say."""

from __future__ import annotations

import asyncio

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tests.faults.run.ledger import Ledger
from tests.faults.run.world import World
from tests.polling import eventually
from tests.servers.databases import connected

QUIET_SECONDS = 90.0  # the longest delay before a retry is 30 s


async def until_quiet(system: World, ledger: Ledger) -> list[str]:
    """Breaches, in sentences: what is left where nothing should be, and what auth does not know of the accounts.

    The ledger learns which account codes are counted as expired or given up.
    """

    async def nothing_waits() -> bool:
        # Twice: what leaves a queue for an outbox in between is in neither.
        return not await _left(system) and not await _left(system)

    breaches = []
    try:
        await eventually(nothing_waits, QUIET_SECONDS)
    except AssertionError:
        breaches = [f"I1: still there: {', '.join(await _left(system))}"]
    async with connected(system.sql.admin_url) as database:
        await _learn_of_failures(database, ledger)
        breaches += [
            *await differing_accounts(database),
            *await differing_factors(database),
            *await lost_proofs(database, ledger),
            *await lost_passwords(database, ledger),
        ]
    return [*breaches, *await _dead_letters(system)]


async def _learn_of_failures(database: asyncpg.Connection, ledger: Ledger) -> None:
    """The outcome of a code for a new password is for operators alone, so it is read from the table."""
    failed = "SELECT email, purpose FROM users.codes JOIN users.accounts ON accounts.id = account_id"
    rows = await database.fetch(f"{failed} WHERE outcome IN ('expired', 'given_up')")
    found = {(row["email"], row["purpose"]) for row in rows}
    for promise in ledger.promises.values():
        promise.told_failed |= (promise.email, promise.purpose) in found


async def lost_proofs(database: asyncpg.Connection, ledger: Ledger) -> list[str]:
    """An address that was proved stays proved, and auth knows."""
    both = "SELECT accounts.email FROM users.accounts JOIN auth.identities USING (id)"
    rows = await database.fetch(f"{both} WHERE email_verified_at IS NOT NULL AND email_verified")
    return [f"I1: the proof of {email} is lost" for email in ledger.proved - {row["email"] for row in rows}]


async def lost_passwords(database: asyncpg.Connection, ledger: Ledger) -> list[str]:
    """The last one that its owner set holds."""
    rows = await database.fetch(
        "SELECT email, password_hash FROM auth.identities WHERE email = ANY ($1)", [*ledger.passwords]
    )
    hashes = {row["email"]: row["password_hash"] for row in rows}

    def lost() -> list[str]:
        return [email for email, password in ledger.passwords.items() if not _matches(hashes.get(email, ""), password)]

    return [f"I1: the password that {email} has set is lost" for email in await asyncio.to_thread(lost)]


def _matches(hashed: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


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


async def differing_accounts(database: asyncpg.Connection) -> list[str]:
    """I8: the accounts that auth knows are those of users, in the same state."""
    same = "id, version, email, is_2fa, is_active, password_hash, password_by_mail, session_epoch"
    accounts = f"SELECT {same}, email_verified_at IS NOT NULL FROM users.accounts"
    known = f"SELECT {same}, email_verified FROM auth.identities"
    differing = await database.fetchval(
        f"SELECT count(*) FROM (({accounts} EXCEPT {known}) UNION ALL ({known} EXCEPT {accounts})) AS difference"
    )
    return [f"I8: {differing} accounts differ between users and auth"] * bool(differing)


async def differing_factors(database: asyncpg.Connection) -> list[str]:
    """I8: the second factors that users knows are those of auth."""
    known = "SELECT id, factors FROM users.accounts WHERE factors_version > 0"
    enrolled = "SELECT account_id, methods FROM auth.factors JOIN users.accounts ON accounts.id = account_id"
    differing = await database.fetchval(
        f"SELECT count(*) FROM (({known} EXCEPT {enrolled}) UNION ALL ({enrolled} EXCEPT {known})) AS difference"
    )
    return [f"I8: the factors of {differing} accounts differ between auth and users"] * bool(differing)
