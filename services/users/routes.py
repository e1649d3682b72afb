"""HTTP API of users, except for one account (account_routes)."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator

from services.users import audit, reading
from services.users.account_routes import BY_ID, PREFIX, shown
from services.users.callers import Caller, Composed, KnownCaller, Users
from services.users.presence import prove, require_presence
from services.users.problems import (
    CurrentPasswordWrong,
    CursorNotValid,
    EmailNotValid,
    IdempotencyKeyUsed,
    PasswordsDiffer,
    PasswordTooWeak,
    RegistrationUnderWay,
    UserAlreadyExists,
    UsernameNotOwn,
)
from services.users.registering import register_once
from services.users.schemas import AccountOut, MessageOut, PasswordIn, RegistrationIn
from services.users.weak_passwords import refuse_weak
from services.users.writes import writing
from shared.names import NO_CONTROL, canonical, refuse_control
from shared.web.bearer import NotPermitted
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import Responses, leads_to, refused
from shared.web.problems import ItemNotFound, TooManyRequests

# Endpoints that create accounts or reveal which names are taken.
RATE_LIMITED = frozenset({f"{PREFIX}/registration", f"{PREFIX}/", f"{PREFIX}{BY_ID}"})
_LOGIN = {name: f"$request.body#/{name}" for name in ("username", "password")}
_REGISTRATION_REFUSED = refused(
    UserAlreadyExists, UsernameNotOwn, EmailNotValid, PasswordTooWeak, RegistrationUnderWay, IdempotencyKeyUsed,
    TooManyRequests,
)  # fmt: skip
_LOGS_IN: Responses = {201: {"links": {"login": leads_to("post", "/api/v1/auth/token", _LOGIN)}}}


def _without_control(text: str | None) -> str | None:
    return text if text is None else refuse_control(text)


router = APIRouter(prefix=PREFIX, route_class=ShallowJsonRoute)

Filter = Annotated[str | None, Query(max_length=254, json_schema_extra=NO_CONTROL), AfterValidator(_without_control)]

# A string of RFC 8941 without escapes, or the same without its quotation marks.
_KEY = r'^(?:"[ !#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$'


def _bare(key: str | None) -> str | None:
    if key is not None and not re.fullmatch(_KEY, key):
        raise ValueError("Must be 1 to 255 visible characters of ASCII, as in a UUID, with or without quotation marks")
    return key.strip('"') if key is not None else None


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A new UUID for each registration: it can then be repeated for a day, and makes one account",
        examples=['"8e03978e-40d5-43e8-bc93-6894a57f9324"'],
        json_schema_extra={"pattern": _KEY},
    ),
    AfterValidator(_bare),
]


@router.post(
    "/registration",
    status_code=201,
    summary="Register",
    responses=_LOGS_IN | _REGISTRATION_REFUSED,
)
async def registration(
    users: Composed, given: RegistrationIn, response: Response, idempotency_key: IdempotencyKey = None
) -> AccountOut:
    row = await register_once(users, given, idempotency_key)
    response.headers["Location"] = f"{PREFIX}/{row.id}"
    return shown(row, response)


@router.post(
    "/change-password",
    summary="Change one's own password; every other session ends",
    responses=refused(PasswordsDiffer, PasswordTooWeak, CurrentPasswordWrong, ItemNotFound, TooManyRequests),
)
async def change_password(users: Composed, known: KnownCaller, given: PasswordIn) -> MessageOut:
    if given.password != given.confirm_password:
        raise PasswordsDiffer
    own = known.token.account
    _refuse_weak(users, known, given.password)
    async with (
        users.hash_shares.one_change(own),
        audit.refusals(users.database, "password_changed", account=own, actor=own),
    ):
        proven_by = await prove(users, known, given.current_password)
        changes = {"password_hash": await users.passwords.hash(given.password, users.hash_shares.holders(own))}

        def rule(caller: Caller) -> None:
            _refuse_weak(users, caller, given.password)
            require_presence(caller, proven_by)

        async with writing(users, known, own, rule=rule) as write:
            await write.change(changes)
    return MessageOut(message="Password updated")


@router.get("/", summary="Accounts, in order of registration", responses=refused(CursorNotValid, NotPermitted))
async def list_accounts(
    request: Request,
    users: Composed,
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
    filters = {name: value for name, value in given.items() if value is not None}
    rows, following = await reading.page(users, known, account=user_id, filters=filters, cursor=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return [AccountOut.model_validate(row, from_attributes=True) for row in rows]


def _refuse_weak(users: Users, caller: Caller, password: str) -> None:
    refuse_weak(password, caller.account, min_length=users.settings.password_min_length)
