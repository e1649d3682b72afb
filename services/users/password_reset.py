"""A forgotten password: a code by mail in the place of it. Nothing in status, text or time tells who has an account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.users import accounts, audit
from services.users.accounts import valid_email
from services.users.audit import Author
from services.users.callers import Caller, Users
from services.users.code_limits import UNTOLD
from services.users.codes import RightCode, Wanted
from services.users.guesses import PASSWORDS
from services.users.problems import CodeNotValid
from services.users.uniform import answered_at_the_deadline
from services.users.weak_passwords import refuse_weak
from services.users.writes import Write, writing
from shared import failpoints
from shared.names import email_key_hash


async def request(users: Users, email: str) -> UUID:
    """Returns the id of the request, also when nobody has the address. Raises `EmailNotValid`, `TooManyRequests`."""
    email = valid_email(email, reserved=users.settings.mail_reserved_domains)
    async with answered_at_the_deadline(users.settings.uniform_deadline):
        async with users.database.transaction() as connection:
            account = await accounts.find_by_email(connection, email)
            request = await users.codes.request(connection, _wanted(email, account), untold=UNTOLD)
            failpoints.reach("code request: before commit")
        failpoints.reach("code request: committed")
        return request


async def start(users: Users, known: Caller, target: UUID) -> None:
    """An administrator has a code mailed to somebody. Raises `NotPermitted`, `LoginTooOld`, `ItemNotFound`."""
    async with (
        audit.refusals(users.database, "password_reset", account=target, actor=known.token.account),
        writing(users, known, target, rule=Caller.require_admin_with_recent_login) as write,
    ):
        wanted = _wanted(write.row.email, write.row)
        await users.codes.request(write.connection, wanted, actor=known.token.account, is_limited=False)


async def confirm(users: Users, request: UUID, code: str, password: str) -> None:
    """Sets the password and ends all sessions; second factors stay. The password is judged after the code, which stays
    good if it is weak. Raises `CodeNotValid`, `PasswordTooWeak`, `TooManyRequests`.
    """
    async with users.database.transaction() as connection:  # commits: a wrong code stays counted
        right = await users.codes.compare(connection, request, "reset", code)
    account = right.asked.account if right is not None else None
    async with audit.refusals(users.database, "password_reset", account=account, actor=None):
        if right is None or account is None:
            raise CodeNotValid
        async with users.database.transaction() as connection:
            owner = _owner(await accounts.find(connection, account), right)
        refuse_weak(password, owner, min_length=users.settings.password_min_length, breached=users.breached)
        async with users.hash_shares.one_change(account):
            hashed = await users.passwords.hash(password, users.hash_shares.holders(account))
            await _set(users, right, account, hashed)
    await PASSWORDS.forgive(users.database, account)


async def _set(users: Users, right: RightCode, account: UUID, hashed: str) -> None:
    async with users.database.transaction() as connection:
        row = _owner((await accounts.lock(connection, account)).get(account), right)
        proved_at = await users.codes.use(connection, right)
        if proved_at is None:
            raise CodeNotValid
        write = Write(
            connection=connection,
            sealer=users.sealer,
            row=row,
            author=Author(account=account),
            also_unproved=True,  # the code has just proved the address
        )
        proof = {} if row.email_verified_at is not None else {"email_verified_at": proved_at}
        # A thief may have asked for another address.
        await write.change({"password_hash": hashed, "password_by_mail": True, "pending_email": None, **proof})
        failpoints.reach("code use: before commit")
    failpoints.reach("code use: committed")


def _wanted(email: str, account: Row[Any] | None) -> Wanted:
    """Mails the address as it is stored: another one may have the same canonical form."""
    if account is None or not account.is_active:
        return Wanted(purpose="reset", email=email, is_mailed=False)
    return Wanted(purpose="reset", email=account.email, account=account.id)


def _owner(account: Row[Any] | None, right: RightCode) -> Row[Any]:
    """Raises `CodeNotValid` if the account may not log in, or has another address by now."""
    if account is None or not account.is_active or email_key_hash(account.email) != right.asked.mailbox:
        raise CodeNotValid
    return account
