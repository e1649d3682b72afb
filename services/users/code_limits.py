"""Limits on codes by mail in an hour: for one account, one mailbox and one client address (docs/configuration.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.settings import UsersSettings
from shared.messaging.address_events import CodePurpose
from shared.web.problems import TooManyRequests

Scope = Literal["account", "mailbox", "client"]

# Test mails that an operator sends one mailbox: enough to mend a mail server, too few to annoy.
TESTS_PER_HOUR: Final = 20

# Codes count for a mailbox only if they were mailed, so its limit would tell whether an account has it.
UNTOLD: Final[tuple[Scope, ...]] = ("mailbox",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`purposes` share it. None is no limit. `cooldown`: seconds between two codes of one account to one mailbox."""

    purposes: tuple[CodePurpose, ...]
    account: int | None = None
    mailbox: int | None = None
    client: int | None = None
    cooldown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """`mailbox`: an `email_key_hash`. `client`: a keyed hash of the client's network, None if it is not known."""

    purpose: CodePurpose
    account: UUID | None
    mailbox: bytes
    client: bytes | None


class Limits:
    def __init__(self, settings: UsersSettings) -> None:
        proofs = Limit(
            purposes=("verify", "change"),
            account=settings.address_proofs_per_hour,
            mailbox=settings.address_proofs_per_hour,
            client=settings.registrations_per_client,
            cooldown=settings.mailed_code_cooldown,
        )
        resets = Limit(
            purposes=("reset",),
            mailbox=settings.password_resets_per_hour,
            client=settings.password_resets_per_client,
        )
        registrations = Limit(
            purposes=("register",),
            mailbox=settings.registrations_per_hour,
            client=settings.registrations_per_client,
        )
        invitations = Limit(purposes=("invite",), mailbox=settings.registrations_per_hour)
        tests = Limit(purposes=("test",), mailbox=TESTS_PER_HOUR)
        limits = (proofs, resets, registrations, invitations, tests)
        self._limits = {purpose: limit for limit in limits for purpose in limit.purposes}

    async def admit(self, connection: AsyncConnection, requester: Requester, untold: Collection[Scope]) -> bool:
        """Whether another code may be mailed. Raises `TooManyRequests` unless the limit is `untold`."""
        waits = await self._waits(connection, requester)
        if (told := _told(waits, untold)) > 0:
            raise TooManyRequests(retry_after=told)
        return not any(waits.values())

    async def wait(self, connection: AsyncConnection, requester: Requester, untold: Collection[Scope]) -> float:
        """Seconds until another code may be had, as far as it may be told."""
        return _told(await self._waits(connection, requester), untold)

    async def _waits(self, connection: AsyncConnection, requester: Requester) -> dict[Scope, float]:
        """Seconds by scope, 0 where another code may be had now."""
        limit = self._limits[requester.purpose]
        account, mailbox, client = await _last_hour(connection, requester, limit)
        cooldown = limit.cooldown - float(account.age) if account.age is not None else 0.0
        return {
            "account": max(0.0, cooldown, _wait(account, limit.account)),
            "mailbox": _wait(mailbox, limit.mailbox),
            "client": _wait(client, limit.client),
        }


def _told(waits: Mapping[Scope, float], untold: Collection[Scope]) -> float:
    return max((wait for scope, wait in waits.items() if scope not in untold), default=0.0)


async def lock_mailboxes(connection: AsyncConnection, *mailboxes: bytes) -> datetime:
    """Until the commit, or two concurrent requests could share the last code of an hour. Returns `now()`.

    Mailboxes come first, in order of their numbers, then the client: so there is no deadlock. Numbers may collide; one
    then waits in vain.
    """
    now: datetime
    for number in sorted(_number(b"mailbox", mailbox) for mailbox in mailboxes):
        now = (await connection.execute(_LOCK, {"number": number})).scalar_one()
    return now


async def lock_client(connection: AsyncConnection, client: bytes | None) -> None:
    if client is not None:
        await connection.execute(_LOCK, {"number": _number(b"client", client)})


def _number(kind: bytes, key: bytes) -> int:
    """Hashed with its kind: else whoever chooses an Idempotency-Key could choose the lock of a mailbox."""
    return int.from_bytes(hashlib.sha256(kind + key).digest()[:8], signed=True)


async def _last_hour(connection: AsyncConnection, requester: Requester, limit: Limit) -> Sequence[Row[Any]]:
    values = {
        "purposes": list(limit.purposes),
        "account": requester.account,
        "mailbox": requester.mailbox,
        "client": requester.client,
    }
    return (await connection.execute(_LAST_HOUR, values)).all()


def _wait(seen: Row[Any], most: int | None) -> float:
    return float(seen.frees_in) if most is not None and seen.requests >= most else 0.0


_LOCK: Final = text("SELECT now() FROM (SELECT pg_advisory_xact_lock(CAST(:number AS bigint))) AS locked")

# For a mailbox only what was mailed counts: requests for an address without an account send nothing.
_LAST_HOUR: Final = text(
    """
WITH lately AS (
    SELECT account_id, email_key_hash, client_hash, code_mac, created_at FROM users.codes
    WHERE purpose = ANY (CAST(:purposes AS text[])) AND created_at > now() - interval '1 hour'
        AND (account_id = CAST(:account AS uuid) OR email_key_hash = CAST(:mailbox AS bytea)
            OR client_hash = CAST(:client AS bytea))
)
SELECT count(*) AS requests, extract(epoch FROM min(created_at) + interval '1 hour' - now()) AS frees_in,
    extract(epoch FROM now() - max(created_at) FILTER (WHERE email_key_hash = CAST(:mailbox AS bytea))) AS age
FROM lately WHERE account_id = CAST(:account AS uuid)
UNION ALL
SELECT count(*), extract(epoch FROM min(created_at) + interval '1 hour' - now()), NULL
FROM lately WHERE email_key_hash = CAST(:mailbox AS bytea) AND code_mac IS NOT NULL
UNION ALL
SELECT count(*), extract(epoch FROM min(created_at) + interval '1 hour' - now()), NULL
FROM lately WHERE client_hash = CAST(:client AS bytea)
"""
)
