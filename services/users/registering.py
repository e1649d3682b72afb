"""Registration, as REGISTRATION has it: at once, by a mailed code, by an invitation, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, addresses, audit, code_limits, invitations, registration_keys
from services.users.accounts import NewAccount, valid_email
from services.users.audit import Author
from services.users.callers import Caller, Users
from services.users.code_limits import UNTOLD
from services.users.codes import RightCode, Wanted
from services.users.guesses import NAMES, PASSWORDS
from services.users.notices import request_notice
from services.users.problems import (
    CodeNotValid,
    IdempotencyKeyUsed,
    InvitationNeeded,
    RegistrationClosed,
    RegistrationUnderWay,
    UserAlreadyExists,
    UsernameTaken,
)
from services.users.schemas import AccountIn, RegistrationIn
from services.users.tables import codes, pending_registrations
from services.users.uniform import answered_at_the_deadline
from services.users.usernames import refuse_foreign
from services.users.weak_passwords import refuse_weak
from services.users.writes import Write, writing
from shared.names import email_key_hash


async def register(users: Users, given: RegistrationIn, key: str | None) -> Row[Any] | UUID:
    """The new account, or the id of the request whose code will make it. `key`: of a repeat (open registration)."""
    mode = users.settings.registration
    async with audit.refusals(users.database, "registration", account=None, actor=None):
        _refuse_if_closed(users)
        given = _checked(users, given)
        if given.invitation_code is not None:
            return await _register_invited(users, given, given.invitation_code)
        if mode == "invited":
            raise InvitationNeeded
    if mode == "proven":
        return await _request_code(users, given)
    return await _register_once(users, given, key)


def _refuse_if_closed(users: Users) -> None:
    if users.settings.registration == "closed":
        raise RegistrationClosed


def _checked(users: Users, given: RegistrationIn) -> RegistrationIn:
    """Before the expensive hash. Raises `EmailNotValid`, `UsernameNotOwn`, `PasswordTooWeak`."""
    email = valid_email(given.email, reserved=users.settings.mail_reserved_domains)
    refuse_foreign(given.username, email=email)
    given = given.model_copy(update={"email": email})
    refuse_weak(given.password, given, min_length=users.settings.password_min_length, breached=users.breached)
    return given


async def _register_once(users: Users, given: RegistrationIn, key: str | None) -> Row[Any]:
    """With an Idempotency-Key a client repeats a registration whose answer it lost. The repeat also checks the
    password: a guessed key reveals only its use.
    """
    fields = _fields(given)  # stored exactly as given
    digest = registration_keys.digest_of(key) if key is not None else None
    if digest is not None:
        async with users.database.transaction() as connection:
            made = await registration_keys.hold(connection, digest)
        if made is not None:
            return await _repeated(users, made, fields, given.password)
    hashed = await users.passwords.hash(given.password, users.hash_shares.holders())
    async with (
        audit.refusals(users.database, "registration", account=None, actor=None),
        users.database.transaction() as connection,
    ):
        if digest is not None and await registration_keys.hold(connection, digest) is not None:
            raise RegistrationUnderWay  # another request used the key just now
        row = await _create_unproved(users, connection, NewAccount(**fields, password_hash=hashed))
        if digest is not None:
            await registration_keys.keep(connection, digest, row.id)
        return row


async def _create_unproved(users: Users, connection: AsyncConnection, new: NewAccount) -> Row[Any]:
    # The same order as of those who use a code, then make an account: no deadlock.
    await code_limits.lock_mailboxes(connection, email_key_hash(new.email))
    row = await _create(users, connection, new)
    # An account with login codes proves its address by the first of them.
    if users.settings.email_verification != "off" and not row.is_2fa:
        write = Write(
            connection=connection,
            sealer=users.sealer,
            row=row,
            author=Author(account=row.id),
            also_unproved=users.tells_unproved,
        )
        await addresses.request_code(users, write, row, untold=("account", "mailbox", "client"))
    return row


async def _create(users: Users, connection: AsyncConnection, new: NewAccount) -> Row[Any]:
    row = await accounts.create(connection, users.sealer, new)
    await audit.record_creation(connection, row, Author(account=row.id))
    return row


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


async def _register_invited(users: Users, given: RegistrationIn, code: str) -> Row[Any]:
    async with users.database.transaction() as connection:
        invited = await invitations.find(users, connection, given.email, code)
    hashed = await users.passwords.hash(given.password, users.hash_shares.holders())
    async with users.database.transaction() as connection:
        stands = await invitations.still_stands(connection, invited)
        proved_at = await users.codes.use(connection, invited.right) if stands else None
        if proved_at is None:
            raise CodeNotValid
        new = NewAccount(
            **_fields(given),
            password_hash=hashed,
            is_admin=invited.is_admin,
            groups=invited.groups,
            email_verified_at=proved_at,
        )
        return await _create(users, connection, new)


async def _request_code(users: Users, given: RegistrationIn) -> UUID:
    """Whether the address has an account or not, the answer is the same; its owner is told instead."""
    async with users.database.transaction() as connection:
        await users.codes.refuse_beyond_client_limit(connection, "register", given.email)
    hashed = await users.passwords.hash(given.password, users.hash_shares.holders())
    async with answered_at_the_deadline(users.settings.uniform_deadline), users.database.transaction() as connection:
        owner = await accounts.find_by_email(connection, given.email)
        wanted = Wanted(purpose="register", email=given.email, is_mailed=owner is None)
        request = await users.codes.request(connection, wanted, untold=UNTOLD)
        values = {"code_id": request, **_fields(given), "password_hash": hashed}
        await connection.execute(insert(pending_registrations).values(values))
        if owner is not None:
            now = await accounts.now(connection)
            await request_notice(connection, owner, "already_registered", now, also_unproved=True)
        return request


async def confirm(users: Users, request: UUID, code: str, username: str | None) -> Row[Any]:
    """Makes the account of a registration. `username`: another one than it asked for. Raises `CodeNotValid`,
    `UsernameTaken`, `UsernameNotOwn`, `UserAlreadyExists`, `TooManyNames`; all but the first leave the code good.
    """
    _refuse_if_closed(users)
    if users.settings.registration == "invited":
        raise InvitationNeeded
    async with users.database.transaction() as connection:  # commits: a wrong code stays counted
        right = await users.codes.compare(connection, request, "register", code)
        asked = await _pending(connection, request)
    async with audit.refusals(users.database, "registration", account=None, actor=None):
        if right is None or asked is None:
            raise CodeNotValid
        if username is not None:
            # Each answer tells whether a name is taken.
            await NAMES.count(users.database, request, limit=users.settings.name_guesses)
            asked["username"] = username
        refuse_foreign(asked["username"], email=asked["email"])
        try:
            return await _register_confirmed(users, right, asked)
        except UserAlreadyExists:
            async with users.database.transaction() as connection:
                if await accounts.find_by_email(connection, asked["email"]) is None:
                    raise UsernameTaken from None
            raise


async def _register_confirmed(users: Users, right: RightCode, asked: Mapping[str, Any]) -> Row[Any]:
    async with users.database.transaction() as connection:
        proved_at = await users.codes.use(connection, right)
        if proved_at is None:
            raise CodeNotValid
        of_mailbox = select(codes.c.id).where(
            codes.c.purpose == "register", codes.c.email_key_hash == right.asked.mailbox
        )
        await connection.execute(delete(pending_registrations).where(pending_registrations.c.code_id.in_(of_mailbox)))
        return await _create(users, connection, NewAccount(**asked, email_verified_at=proved_at))


async def create_for_somebody(users: Users, known: Caller, given: AccountIn) -> Row[Any]:
    """An administrator makes an account without a password: its owner asks for one as if it were forgotten, which
    proves the address. Raises `NotPermitted`, `LoginTooOld`, `UserAlreadyExists`, `UsernameNotOwn`, `EmailNotValid`.
    """
    own = known.token.account
    async with audit.refusals(users.database, "registration", account=None, actor=own):
        known.require_admin_with_recent_login()
        email = valid_email(given.email, reserved=users.settings.mail_reserved_domains)
        refuse_foreign(given.username, email=email)
        unusable = await users.passwords.hash(secrets.token_urlsafe(32), users.hash_shares.holders(own))
        async with writing(users, known, own, rule=Caller.require_admin_with_recent_login) as write:
            fields = given.model_dump() | {"email": email}
            row = await accounts.create(write.connection, users.sealer, NewAccount(**fields, password_hash=unusable))
            await audit.record_creation(write.connection, row, write.author)
            return row


async def _pending(connection: AsyncConnection, request: UUID) -> dict[str, Any] | None:
    columns = [column for column in pending_registrations.c if column.name != "code_id"]
    row = (await connection.execute(select(*columns).where(pending_registrations.c.code_id == request))).mappings()
    found = row.one_or_none()
    return dict(found) if found is not None else None


def _fields(given: RegistrationIn) -> dict[str, Any]:
    return given.model_dump(exclude={"password", "invitation_code"})
