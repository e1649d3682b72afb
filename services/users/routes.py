"""The HTTP API of users. A route checks who asks, opens the transaction, and shapes the answer."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, audit
from services.users.accounts import NewAccount, etag, valid_email
from services.users.callers import Caller, KnownCaller, Parts, Users
from services.users.current_passwords import count_guess, forgive
from services.users.notices import tell_owner
from services.users.problems import (
    CurrentPasswordWrong,
    EmailNotValid,
    LoginTooOld,
    NothingToChange,
    PasswordsDiffer,
    PasswordTooWeak,
    UserAlreadyExists,
    VersionDiffers,
)
from services.users.schemas import AccountOut, AccountPatch, MessageOut, PasswordIn, RegistrationIn
from services.users.tables import trail
from services.users.weak_passwords import own_names, refuse_weak
from shared.answers import Answers, leads_to, refused
from shared.bearer import NotPermitted
from shared.names import NO_CONTROL, canonical, refuse_control
from shared.problems import ItemNotFound, Problem, TooManyRequests
from shared.shallow_json import ShallowJsonRoute

PREFIX = "/api/v1/users"
FLOODED = frozenset({f"{PREFIX}/registration"})
_LOGIN = {name: f"$request.body#/{name}" for name in ("username", "password")}
_LOGS_IN: Answers = {201: {"links": {"login": leads_to("post", "/api/v1/auth/token", _LOGIN)}}}
_BY_ADMIN_ONLY = {"is_admin", "is_active"}
_NEEDS_RECENT_LOGIN = {"email", "username", "is_2fa"}


def _without_control(text: str | None) -> str | None:
    return text if text is None else refuse_control(text)


router = APIRouter(prefix=PREFIX, tags=["users"], route_class=ShallowJsonRoute)

UserId = Annotated[UUID | None, Query(description="Another account than one's own: for admins")]
Filter = Annotated[str | None, Query(max_length=254, json_schema_extra=NO_CONTROL), AfterValidator(_without_control)]
IfMatch = Annotated[str | None, Header(description="The `ETag` that the account must still have")]


class CursorNotValid(Problem):
    status = 400
    code = "cursor_not_valid"
    detail = "Cursor not valid: follow the Link header, or leave it out to begin at the first page"


@router.post(
    "/registration",
    status_code=201,
    summary="Register",
    responses=_LOGS_IN | refused(UserAlreadyExists, EmailNotValid, PasswordTooWeak, TooManyRequests),
)
async def registration(users: Parts, given: RegistrationIn, response: Response) -> AccountOut:
    email = valid_email(given.email)
    names = own_names(email=email, username=given.username, name=given.name, lastname=given.lastname)
    refuse_weak(given.password, own_names=names, min_length=users.settings.password_min_length)
    new = NewAccount(
        email=email,
        username=given.username,
        name=given.name,
        lastname=given.lastname,
        password_hash=await users.passwords.hash(given.password),
        is_2fa=given.is_2fa,
    )
    async with users.database.transaction() as connection:
        row = await accounts.create(connection, users.sealer, new)
        await audit.record_creation(connection, row, by_operator=False)
    response.headers["Location"] = f"{PREFIX}/?{urlencode({'user_id': row.id})}"
    return _out(row, response)


@router.post(
    "/change-password",
    summary="Change one's own password; every other session ends",
    responses=refused(PasswordsDiffer, PasswordTooWeak, CurrentPasswordWrong, ItemNotFound, TooManyRequests),
)
async def change_password(users: Parts, known: KnownCaller, given: PasswordIn) -> MessageOut:
    if given.password != given.confirm_password:
        raise PasswordsDiffer
    own = known.account
    names = own_names(email=own.email, username=own.username, name=own.name, lastname=own.lastname)
    refuse_weak(given.password, own_names=names, min_length=users.settings.password_min_length)
    async with audit.refusals(users.database, "password_changed", account=own.id, actor=own.id):
        await _prove_presence(users, known, given.current_password)
    changes = {"password_hash": await users.passwords.hash(given.password)}
    async with users.database.transaction() as connection:
        row = await _locked(connection, known.account.id)
        changed = await accounts.change(connection, users.sealer, row, changes, by_session=known.token.session)
        await audit.record_change(connection, row, changed, actor=own.id, session=known.token.session)
        await tell_owner(connection, row, changed)
    return MessageOut(message="Password updated")


@router.get("/", summary="Accounts, in order of registration", responses=refused(CursorNotValid, NotPermitted))
async def accounts_page(
    request: Request,
    users: Parts,
    known: KnownCaller,
    response: Response,
    user_id: UUID | None = None,
    email: Filter = None,
    username: Filter = None,
    is_2fa: bool | None = None,
    is_admin: bool | None = None,
    is_active: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> list[AccountOut]:
    """The next page, if there is one, is in the `Link` header (RFC 8288)."""
    given = {
        "id": user_id,
        "email_key": canonical(email) if email is not None else None,
        "username_key": canonical(username) if username is not None else None,
        "is_2fa": is_2fa,
        "is_admin": is_admin,
        "is_active": is_active,
    }
    async with audit.refusals(users.database, "accounts_read", account=user_id, actor=known.account.id):
        known.require_admin()
    filters = {name: value for name, value in given.items() if value is not None}
    after = _decoded(cursor) if cursor is not None else None
    async with users.database.transaction() as connection:
        rows = await accounts.page(connection, filters=filters, after=after, limit=limit + 1)
        await trail.record(
            connection, "accounts_read", account=user_id, actor=known.account.id, session=known.token.session
        )
    if len(rows) > limit:
        following = request.url.include_query_params(cursor=_encoded(rows[limit - 1].id))
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return [AccountOut.model_validate(row, from_attributes=True) for row in rows[:limit]]


@router.patch(
    "/",
    summary="Change an account (merge-patch, RFC 7396)",
    responses=refused(
        NothingToChange, EmailNotValid, UserAlreadyExists, NotPermitted, LoginTooOld, ItemNotFound, VersionDiffers
    ),
)
async def patch(
    users: Parts,
    known: KnownCaller,
    given: AccountPatch,
    response: Response,
    user_id: UserId = None,
    if_match: IfMatch = None,
) -> AccountOut:
    changes = given.changes()
    whose = user_id or known.account.id
    async with audit.refusals(users.database, "profile_changed", account=whose, actor=known.account.id):
        target = known.target(user_id)
        _allow(known, target, changes)
    if "email" in changes:
        changes["email"] = valid_email(changes["email"])
    # A session is kept only of the person whose account it is.
    session = known.token.session if target == known.account.id else None
    async with users.database.transaction() as connection:
        row = await _locked(connection, target)
        if not accounts.is_matched_by(row, if_match):
            raise VersionDiffers
        changed = await accounts.change(connection, users.sealer, row, changes, by_session=session)
        await audit.record_change(connection, row, changed, actor=known.account.id, session=known.token.session)
        await tell_owner(connection, row, changed)
    return _out(changed, response)


@router.delete("/", summary="Delete an account", responses=refused(NotPermitted, ItemNotFound, VersionDiffers))
async def delete(users: Parts, known: KnownCaller, user_id: UserId = None, if_match: IfMatch = None) -> MessageOut:
    async with audit.refusals(users.database, "account_deleted", account=user_id, actor=known.account.id):
        target = known.target(user_id)
    async with users.database.transaction() as connection:
        row = await _locked(connection, target)
        if not accounts.is_matched_by(row, if_match):
            raise VersionDiffers
        await accounts.remove(connection, row)
        await trail.record(
            connection, "account_deleted", account=target, actor=known.account.id, session=known.token.session
        )
    return MessageOut(message="User deleted")


def _allow(known: Caller, target: UUID, changes: dict[str, Any]) -> None:
    if not changes:
        raise NothingToChange
    if _BY_ADMIN_ONLY & changes.keys():
        known.require_admin()
    if target == known.account.id and _NEEDS_RECENT_LOGIN & changes.keys():
        known.require_recent_login()


async def _prove_presence(users: Users, known: Caller, current_password: str | None) -> None:
    """A login of the last minutes or the current password; a password that is given must be right."""
    if current_password is None:
        if known.token.login_age() > known.recent_login:
            raise CurrentPasswordWrong
        return
    own = known.account
    await count_guess(users.database, own.id, limit=users.settings.current_password_guesses)
    if not await users.passwords.verify(current_password, own.password_hash):
        raise CurrentPasswordWrong
    await forgive(users.database, own.id)


async def _locked(connection: AsyncConnection, account: UUID) -> Row[Any]:
    row = await accounts.find(connection, account, lock=True)
    if row is None:
        raise ItemNotFound
    return row


def _out(row: Row[Any], response: Response) -> AccountOut:
    response.headers["ETag"] = etag(row)
    return AccountOut.model_validate(row, from_attributes=True)


def _encoded(last: UUID) -> str:
    """Opaque to clients, so that what a page hangs on may change."""
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def _decoded(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise CursorNotValid from None
