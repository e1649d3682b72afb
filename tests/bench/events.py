"""Codes that were asked for and not sent yet: rows of auth's outbox, with their challenges."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

import asyncpg
from uuid_utils.compat import uuid7

from shared.messaging.events import OtpRequested
from shared.names import email_key_hash
from shared.sealing import Sealer
from tests.bench.people import MANY, account_id
from tests.bench.system import System
from tests.servers.databases import connected

_LIFETIME = timedelta(hours=2)  # none may expire while it is measured
_DOMAINS = 100  # a notifier gives one of them a quarter of its deliveries


async def backlog(system: System, count: int) -> None:
    """To an address each. Committed at once, so that no relay sees a part of it."""
    sealer = Sealer([system.sealing_key])
    async with connected(system.databases.admin_url) as connection, connection.transaction():
        now: datetime = await connection.fetchval("SELECT now()")
        asked = [_asked(number, now, sealer) for number in range(count)]
        await _keep(connection, asked)


async def forget(system: System) -> None:
    """All challenges: those of other rows count, too many for an account."""
    async with connected(system.databases.admin_url) as connection:
        await connection.execute("TRUNCATE auth.challenges")


def _asked(number: int, now: datetime, sealer: Sealer) -> OtpRequested:
    asked = OtpRequested(
        challenge_id=uuid7(),
        account_id=account_id(MANY + number % MANY),
        email=f"mail{number}@bench{number % _DOMAINS}.example",
        sealed_code="",
        requested_at=now,
        expires_at=now + _LIFETIME,
    )
    sealed = sealer.seal(f"{number % 1000000:06}", asked.code_context)
    return asked.model_copy(update={"sealed_code": sealed})


async def _keep(connection: asyncpg.Connection, asked: list[OtpRequested]) -> None:
    await connection.copy_records_to_table(
        "challenges",
        schema_name="auth",
        columns=(
            *("id", "account_id", "email_key_hash", "epoch", "factors_version", "methods"),
            *("code_mac", "sent_at", "expires_at", "code_event_id"),
        ),
        records=[
            (
                *(each.challenge_id, each.account_id, email_key_hash(each.email), 0, 0, ["email"]),
                *(b"", each.requested_at, each.expires_at, each.event_id),
            )
            for each in asked
        ],
    )
    await connection.copy_records_to_table(
        "outbox",
        schema_name="auth",
        columns=("event_id", "type", "body", "correlation_id"),
        records=[(each.event_id, each.type, each.to_body(), secrets.token_hex(16)) for each in asked],
    )
