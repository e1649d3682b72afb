"""HTTP API of one account: the caller's own, or any for an administrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response
from sqlalchemy import Row

from services.users import addresses, audit, reading
from services.users.account_factors import has_another_than_mail
from services.users.accounts import etag, valid_email
from services.users.callers import Caller, Composed, KnownCaller, Users
from services.users.guesses import NAMES
from services.users.problems import (
    EmailNotValid,
    LastAdministrator,
    NothingToChange,
    SecondFactorStays,
    UserAlreadyExists,
    UsernameNotOwn,
    VersionDiffers,
)
from services.users.schemas import AccountOut, AccountPatch, MessageOut
from services.users.writes import Rule, writing
from shared.names import canonical
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.lean_route import LeanRoute
from shared.web.openapi_responses import Responses, refused, sends
from shared.web.problems import ItemNotFound, TooManyRequests

PREFIX = "/api/v1/users"
# Only the form that a gateway's limits match, and so that `/users/me` is not read as an id.
BY_ID = "/{user_id:uuid}"
router = APIRouter(prefix=PREFIX, route_class=ShallowJsonRoute)
lean_router = APIRouter(prefix=PREFIX, route_class=LeanRoute)  # applications ask for `/me` whenever they are opened

AccountId = Annotated[UUID, Path(description="One's own; for an administrator anybody's")]
UserId = Annotated[UUID | None, Query(description="Another account than one's own: for admins. As `/users/{user_id}`")]
IfMatch = Annotated[
    str | None, Header(description="The `ETag` that the account must still have, as a gateway passed it on")
]

SHOWN: Responses = {200: sends("ETag")}
CREATED: Responses = {201: sends("ETag", "Location")}
_CHANGE_REFUSED = refused(
    NothingToChange, EmailNotValid, UserAlreadyExists, UsernameNotOwn, NotPermitted, LoginTooOld, ItemNotFound,
    VersionDiffers, LastAdministrator, TooManyRequests, SecondFactorRequired, SecondFactorStays,
)  # fmt: skip
_DELETION_REFUSED = refused(
    NotPermitted, SecondFactorRequired, LoginTooOld, ItemNotFound, VersionDiffers, LastAdministrator
)

_NAMES = ("email", "username")
_BY_ADMIN_ONLY = {"is_admin", "is_active", "groups"}
_NEEDS_RECENT_LOGIN = {"email", "username", "is_2fa"} | _BY_ADMIN_ONLY  # own account; other accounts: all changes


@lean_router.get("/me", response_model=AccountOut, responses=SHOWN, summary="The caller's own account")
async def me(known: KnownCaller) -> Response:
    body = AccountOut.model_validate(known.account, from_attributes=True).model_dump_json()
    return Response(body, media_type="application/json", headers={"ETag": etag(known.account)})


@router.get(BY_ID, summary="An account", responses=SHOWN | refused(NotPermitted, SecondFactorRequired, ItemNotFound))
async def read_account(users: Composed, known: KnownCaller, user_id: AccountId, response: Response) -> AccountOut:
    return shown(await reading.one(users, known, user_id), response)


@router.patch(BY_ID, summary="Change an account (merge-patch, RFC 7396)", responses=SHOWN | _CHANGE_REFUSED)
async def change_account(
    users: Composed, known: KnownCaller, user_id: AccountId, given: AccountPatch, response: Response,
    if_match: IfMatch = None,
) -> AccountOut:  # fmt: skip
    return shown(await _changed(users, known, user_id, given, if_match), response)


@router.delete(BY_ID, summary="Delete an account", responses=_DELETION_REFUSED)
async def delete_account(
    users: Composed, known: KnownCaller, user_id: AccountId, if_match: IfMatch = None
) -> MessageOut:
    return await _deleted(users, known, user_id, if_match)


@router.patch("/", summary="Change one's own account (merge-patch, RFC 7396)", responses=SHOWN | _CHANGE_REFUSED)
async def change_own_account(
    users: Composed, known: KnownCaller, given: AccountPatch, response: Response,
    user_id: UserId = None, if_match: IfMatch = None,
) -> AccountOut:  # fmt: skip
    return shown(await _changed(users, known, user_id or known.token.account, given, if_match), response)


@router.delete("/", summary="Delete one's own account", responses=_DELETION_REFUSED)
async def delete_own_account(
    users: Composed, known: KnownCaller, user_id: UserId = None, if_match: IfMatch = None
) -> MessageOut:
    return await _deleted(users, known, user_id or known.token.account, if_match)


async def _changed(users: Users, known: Caller, target: UUID, given: AccountPatch, if_match: str | None) -> Row[Any]:
    changes = given.changes()
    rule = _may_change(target, changes)
    async with audit.refusals(users.database, "profile_changed", account=target, actor=known.token.account):
        rule(known)
        if "email" in changes:  # before the precondition: RFC 9110 section 13.2.1
            changes["email"] = valid_email(changes["email"], reserved=users.settings.mail_reserved_domains)
        await _limit_names(users, known, changes)
        async with writing(users, known, target, rule=rule, if_match=if_match) as write:
            none_left = write.row.is_2fa and changes.get("is_2fa") is False and not has_another_than_mail(write.row)
            if none_left and users.settings.demands_second_factor(is_admin=write.row.is_admin):
                raise SecondFactorStays
            return await addresses.change(users, write, changes)


async def _deleted(users: Users, known: Caller, target: UUID, if_match: str | None) -> MessageOut:
    async with (
        audit.refusals(users.database, "account_deleted", account=target, actor=known.token.account),
        writing(users, known, target, rule=_may_delete(target), if_match=if_match) as write,
    ):
        await write.remove()
    # Text of the system that this one replaces: its clients look for it.
    return MessageOut(message=f"User with id:'{target}' deleted successfully")


def shown(row: Row[Any], response: Response) -> AccountOut:
    response.headers["ETag"] = etag(row)
    return AccountOut.model_validate(row, from_attributes=True)


def created(row: Row[Any], response: Response) -> AccountOut:
    response.headers["Location"] = f"{PREFIX}/{row.id}"
    return shown(row, response)


# Rules are checked when a request comes in and again under the lock (writes).
def _may_change(target: UUID, changes: Mapping[str, Any]) -> Rule:
    def rule(caller: Caller) -> None:
        caller.require_admin_of(target)
        if not changes:
            raise NothingToChange
        if _BY_ADMIN_ONLY & changes.keys():
            caller.require_admin()
        if target != caller.token.account or _NEEDS_RECENT_LOGIN & changes.keys():
            caller.require_recent_login()

    return rule


def _may_delete(target: UUID) -> Rule:
    def rule(caller: Caller) -> None:
        caller.require_admin_of(target)
        caller.require_recent_login()

    return rule


async def _limit_names(users: Users, known: Caller, changes: Mapping[str, Any]) -> None:
    """Each answer reveals whether a name is taken; administrators can list them anyway. Raises `TooManyNames`."""
    own = known.account
    asks = any(name in changes and canonical(changes[name]) != getattr(own, f"{name}_key") for name in _NAMES)
    if asks and not own.is_admin:
        await NAMES.count(users.database, own.id, limit=users.settings.name_guesses)
