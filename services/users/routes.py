"""HTTP API of users, except for one account (account_routes)."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator

from services.users import reading, registering
from services.users.account_factors import SecondFactor
from services.users.account_routes import BY_ID, CREATED, PREFIX, created
from services.users.callers import Composed, KnownCaller
from services.users.problems import (
    CodeNotValid,
    CursorNotValid,
    EmailNotValid,
    IdempotencyKeyUsed,
    InvitationNeeded,
    PasswordTooWeak,
    RegistrationClosed,
    RegistrationUnderWay,
    UserAlreadyExists,
    UsernameNotOwn,
    UsernameTaken,
)
from services.users.schemas import (
    AccountIn,
    AccountOut,
    Group,
    RegistrationConfirmIn,
    RegistrationIn,
    RegistrationRulesOut,
    RegistrationStartedOut,
)
from shared.names import NO_CONTROL, canonical, refuse_control
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import Responses, leads_to, refused, sends
from shared.web.problems import TooManyRequests

# Endpoints that create accounts, mail or compare codes, or reveal which names are taken.
RATE_LIMITED = frozenset(
    f"{PREFIX}{path}"
    for path in (
        "/", BY_ID, "/registration", "/registration/confirm", "/password-reset", "/password-reset/confirm",
        "/verify-email", "/verify-email/send",
    )
)  # fmt: skip
_LOGIN = {name: f"$request.body#/{name}" for name in ("username", "password")}
_REGISTRATION_REFUSED = refused(
    UserAlreadyExists, UsernameNotOwn, EmailNotValid, PasswordTooWeak, RegistrationUnderWay, IdempotencyKeyUsed,
    TooManyRequests, RegistrationClosed, InvitationNeeded, CodeNotValid,
)  # fmt: skip
_CONFIRMATION_REFUSED = refused(
    CodeNotValid, UsernameTaken, UsernameNotOwn, UserAlreadyExists, RegistrationClosed, InvitationNeeded,
    TooManyRequests,
)  # fmt: skip
_LOGS_IN: Responses = {201: {**CREATED[201], "links": {"login": leads_to("post", "/api/v1/auth/token", _LOGIN)}}}
_PAGE: Responses = {200: sends("Link")}


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


@router.get("/registration", summary="Who may register, and how", responses=refused(TooManyRequests))
async def registration_rules(users: Composed) -> RegistrationRulesOut:
    """For the form of whoever registers."""
    return RegistrationRulesOut.model_validate(users.settings, from_attributes=True)


@router.post(
    "/registration",
    status_code=201,
    summary="Register",
    responses=_LOGS_IN | {202: {"model": RegistrationStartedOut}} | _REGISTRATION_REFUSED,
)
async def registration(
    users: Composed, given: RegistrationIn, response: Response, idempotency_key: IdempotencyKey = None
) -> AccountOut | RegistrationStartedOut:
    """Under `REGISTRATION=proven` 202 and no account yet: the mailed code makes it, at `registration/confirm`."""
    made = await registering.register(users, given, idempotency_key)
    if isinstance(made, UUID):
        response.status_code = 202
        return RegistrationStartedOut(registration_token=made, expires_in=users.codes.lifetime("register"))
    return created(made, response)


@router.post(
    "/registration/confirm",
    status_code=201,
    summary="Make the account of a registration with the mailed code",
    responses=CREATED | _CONFIRMATION_REFUSED,
)
async def confirm_registration(users: Composed, given: RegistrationConfirmIn, response: Response) -> AccountOut:
    row = await registering.confirm(users, given.registration_token, given.code, given.username)
    return created(row, response)


@router.post(
    "/",
    status_code=201,
    summary="Make an account for somebody, without a password",
    responses=CREATED
    | refused(UserAlreadyExists, UsernameNotOwn, EmailNotValid, NotPermitted, SecondFactorRequired, LoginTooOld),
)
async def create_account(users: Composed, known: KnownCaller, given: AccountIn, response: Response) -> AccountOut:
    """Its owner asks for a password as if it were forgotten."""
    return created(await registering.create_for_somebody(users, known, given), response)


@router.get(
    "/",
    summary="Accounts, in order of registration",
    responses=_PAGE | refused(CursorNotValid, NotPermitted, SecondFactorRequired),
)
async def list_accounts(
    request: Request,
    users: Composed,
    known: KnownCaller,
    response: Response,
    user_id: UUID | None = None,
    email: Filter = None,
    username: Filter = None,
    is_2fa: bool | None = None,
    second_factor: Annotated[
        Literal[SecondFactor, "none"] | None,
        Query(description="Those who have it; `none`: those whose password is enough"),
    ] = None,
    is_admin: bool | None = None,
    is_active: bool | None = None,
    group: Annotated[Group | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> list[AccountOut]:
    """The next page, if there is one, is in the `Link` header (RFC 8288)."""
    given = {
        "id": user_id,
        "email_key": canonical(email) if email is not None else None,
        "username_key": canonical(username) if username is not None else None,
        "is_2fa": is_2fa,
        "second_factor": second_factor,
        "is_admin": is_admin,
        "is_active": is_active,
        "groups": [group] if group is not None else None,
    }
    filters = {name: value for name, value in given.items() if value is not None}
    rows, following = await reading.page(users, known, account=user_id, filters=filters, cursor=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return [AccountOut.model_validate(row, from_attributes=True) for row in rows]
