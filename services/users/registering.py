"""Registers once per `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07). A repeat is compared with the
account, at the cost of a registration, and counts as a guess of its password: a guessed key reveals only its use.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.users import accounts, audit, registration_keys
from services.users.accounts import NewAccount, valid_email
from services.users.callers import Users
from services.users.guesses import PASSWORDS
from services.users.problems import IdempotencyKeyUsed
from services.users.schemas import RegistrationIn
from services.users.usernames import refuse_foreign
from services.users.weak_passwords import refuse_weak
from services.users.writes import register


async def register_once(users: Users, given: RegistrationIn, key: str | None) -> Row[Any]:
    email = valid_email(given.email, reserved=users.settings.mail_reserved_domains)
    given = given.model_copy(update={"email": email})
    refuse_foreign(given.username, email=email)  # before the expensive hash
    refuse_weak(given.password, given, min_length=users.settings.password_min_length)
    fields = given.model_dump(exclude={"password"})  # stored exactly as given
    digest = registration_keys.digest_of(key) if key is not None else None
    if digest is not None:
        async with users.database.transaction() as connection:
            made = await registration_keys.hold(connection, digest)
        if made is not None:
            return await _repeated(users, made, fields, given.password)
    hashed = await users.passwords.hash(given.password, users.hash_shares.holders())
    return await register(users.database, users.sealer, NewAccount(**fields, password_hash=hashed), digest=digest)


async def _repeated(users: Users, made: UUID, fields: dict[str, Any], password: str) -> Row[Any]:
    async with audit.refusals(users.database, "registration", account=made, actor=None):
        await PASSWORDS.count(users.database, made, limit=users.settings.current_password_guesses)
    async with users.database.transaction() as connection:
        row = await accounts.find(connection, made)
    # Always verifies, even if the account is gone or another field differs: the time must not tell.
    stored = row.password_hash if row is not None else None
    matches = await users.passwords.verify(password, stored, users.hash_shares.holders(made))
    if row is None or not matches or {name: getattr(row, name) for name in fields} != fields:
        raise IdempotencyKeyUsed
    await PASSWORDS.forgive(users.database, made)
    return row
