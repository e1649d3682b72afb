"""Test data: valid unless a test asks for something else, and unlike any other of the same run."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from sqlalchemy import Row
from uuid_utils.compat import uuid7

from services.users import accounts
from services.users.accounts import NewAccount
from services.users.administration import Administration
from services.users.callers import Users
from shared.messaging.address_events import CodeRequested
from shared.messaging.bus import Delivery, Message
from shared.messaging.events import AccountChanged, Event, OtpOutcome, OtpRequested, SessionEnded
from shared.messaging.factor_events import EnrolledFactor, FactorsChanged
from shared.messaging.notice_events import UsersNoticeRequested
from shared.sealing import Sealer
from tests import edge_keys

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "staple horse correct"

_numbers = itertools.count(1)


# Argon2 took a fifth of the processor's time. Settings refuse such costs: tests change them after they were checked.
HASH_COSTS = {"argon2_memory_kib": 8, "argon2_passes": 1}


def password_hash(password: str = PASSWORD) -> str:
    """Made once a run for each password, at the costs of the services that a test composes."""
    return _hash(password, HASH_COSTS["argon2_memory_kib"], HASH_COSTS["argon2_passes"])


@cache
def _hash(password: str, memory_kib: int, passes: int) -> str:
    return PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1).hash(password)


def full_width(text: str) -> str:
    """`text` in the full-width forms of its ASCII characters: NFKC makes them the same."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def account_changed(sealer: Sealer, *, password: str = PASSWORD, **fields: Any) -> AccountChanged:
    """An account's state as the users service tells it; without fields, of a new active account without 2FA, whose
    address is proved.
    """
    number = next(_numbers)
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "account_id": uuid7(),
        "incarnation": 1,
        "version": 1,
        "deleted": False,
        "username": f"person{number}",
        "email": f"person{number}@example.org",
        "is_active": True,
        "email_verified": True,
    }
    return sealed_account(sealer, AccountChanged(**values | fields), password)


def sealed_account(sealer: Sealer, event: AccountChanged, password: str = PASSWORD) -> AccountChanged:
    """With the hash of this password."""
    sealed = sealer.seal(password_hash(password), event.hash_context)
    return event.model_copy(update={"sealed_password_hash": sealed})


def tombstone(account: UUID, version: int) -> AccountChanged:
    return AccountChanged(account_id=account, incarnation=1, version=version, deleted=True)


def otp_requested(sealer: Sealer, *, code: str = "012345", lives: float = 240, **fields: Any) -> OtpRequested:
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "challenge_id": uuid4(),
        "account_id": uuid4(),
        "email": "ann@example.org",
        "sealed_code": "",
        "requested_at": now,
        "expires_at": now + timedelta(seconds=lives),
    }
    event = OtpRequested(**values | fields)
    if "sealed_code" in fields:
        return event
    return event.model_copy(update={"sealed_code": sealer.seal(code, event.code_context)})


def code_requested(sealer: Sealer, *, code: str = "K7X9M2Q4TZ", lives: float = 600, **fields: Any) -> CodeRequested:
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "code_id": uuid4(),
        "account_id": uuid4(),
        "email": "ann@example.org",
        "purpose": "verify",
        "sealed_code": "",
        "requested_at": now,
        "expires_at": now + timedelta(seconds=lives),
    }
    event = CodeRequested(**values | fields)
    return event.model_copy(update={"sealed_code": sealer.seal(code, event.code_context)})


def notice_requested(**fields: Any) -> UsersNoticeRequested:
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "account_id": uuid4(),
        "email": "ann@example.org",
        "notice": "password_changed",
        "occurred_at": now,
        "expires_at": now + timedelta(days=1),
    }
    return UsersNoticeRequested(**values | fields)


def otp_outcome(**fields: Any) -> OtpOutcome:
    values: dict[str, Any] = {
        "challenge_id": uuid4(),
        "request_event_id": uuid4(),
        "outcome": "delivered",
        "attempt": 1,
        "occurred_at": datetime.now(UTC),
    }
    return OtpOutcome(**values | fields)


def session_ended(*sessions: UUID, lasts: float = 3600) -> SessionEnded:
    """`lasts`: seconds until the last access token of these sessions has expired."""
    return SessionEnded(
        account_id=uuid4(), session_ids=sessions or (uuid4(),), until=datetime.now(UTC) + timedelta(seconds=lasts)
    )


def factors_changed(account: UUID, *methods: EnrolledFactor, version: int = 1) -> FactorsChanged:
    return FactorsChanged(account_id=account, version=version, methods=methods, occurred_at=datetime.now(UTC))


def message(event: Event, *, body: bytes | None = None) -> Message:
    """As its publisher sends it, with a MAC."""
    return edge_keys.ALL.signed(
        Message(
            routing_key=event.type,
            body=event.to_body().encode() if body is None else body,
            event_id=str(event.event_id),
            correlation_id="request-1",
        )
    )


def delivery(event: Event, *, attempt: int = 1, body: bytes | None = None) -> Delivery:
    sent = message(event, body=body)
    return Delivery(
        routing_key=sent.routing_key,
        body=sent.body,
        event_id=sent.event_id,
        correlation_id=sent.correlation_id,
        mac=sent.mac,
        attempt=attempt,
    )


def registration(**fields: Any) -> dict[str, Any]:
    """The body of a valid `POST /users/registration`."""
    number = next(_numbers)
    values = {
        "email": f"person{number}@example.org",
        "username": f"person{number}",
        "name": "Dave",
        "lastname": "Gahan",
        "password": PASSWORD,
        "is_2fa": False,
    }
    return values | fields


async def registered(users: Users, **fields: Any) -> Row[Any]:
    """An account with a proved address in the users service's own table, with its event."""
    values = registration(**fields)
    password = values.pop("password")
    made: dict[str, Any] = {"password_hash": password_hash(password), "email_verified_at": datetime.now(UTC)}
    new = NewAccount(**made | values)
    async with users.database.transaction() as connection:
        return await accounts.create(connection, users.sealer, new)


def administration(users: Users) -> Administration:
    """As the command line has it."""
    return Administration(users.database, users.passwords, users.sealer, users.codes, users.settings, users.breached)
