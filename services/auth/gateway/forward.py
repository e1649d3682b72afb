"""Forward-auth: a gateway asks whether a request may pass, and whose it is (docs/decisions/0006-forward-auth.md).
What it demands is in the path of its question (demands.py). Gateways forward only 401 and 403 (nginx turns others into
500), and some a redirect (browsers.py). Envoy uses the client's method and needs a 200 (answers.py).

Proved addresses and second factors are demanded here, not at the login: an account without them can still log in, and
do what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.auth.api.guards import CurrentSession, composed, current_session
from services.auth.gateway.demands import PATH, demanded
from shared.names import GROUP_NAME
from shared.web.bearer import (
    REALM,
    AccessScheme,
    InsufficientAuthentication,
    NotPermitted,
    SecondFactorRequired,
    TokenMissing,
    TokenNotValid,
)
from shared.web.cookies import GATE, SESSION, CookieTwice, cookie
from shared.web.lean_route import LeanRoute
from shared.web.openapi_responses import NOT_AUTHENTICATED, ONLY, Responses, refused, with_common_codes
from shared.web.problems import Problem

_HEADERS = {
    "X-Auth-Subject": "Account id",
    "X-Auth-Session": "Session id",
    "X-Auth-Admin": "`true` or `false`: whether the account is an administrator at this moment",
    "X-Auth-Verified": "`true` or `false`: whether the account's address is proved",
    "X-Auth-Groups": "The account's groups with commas between them; empty if there are none",
    "X-Auth-Acr": "Class of the login, by the token: `1` one factor, `2` two, `3` a passkey",
    "X-Auth-Amr": "Methods of the login (RFC 8176), by the token, with spaces between them",
    "X-Auth-Time": "When the person last proved who they are, by the token; Unix seconds",
}


_NAMES = tuple(name.lower().encode() for name in _HEADERS)


class EmailNotVerified(Problem):
    status = 403
    code = "email_not_verified"
    detail = (
        "This address is not proved yet: ask for a code with `POST /api/v1/users/verify-email/send`, and send the code"
        " of that mail to `POST /api/v1/users/verify-email`"
    )
    headers: Mapping[str, str] = {
        "WWW-Authenticate": f'{REALM}, error="insufficient_scope", error_description="{detail}"'
    }


class CookieSentTwice(TokenNotValid):
    code = "cookie_twice"
    detail = (
        "The cookie of the login is sent twice, and one of both is not ours: delete the cookies of this site and of the"
        " sites above it, and log in again"
    )
    headers: Mapping[str, str] = {"WWW-Authenticate": f'{REALM}, error="invalid_token", error_description="{detail}"'}


_LOCATION = {
    "description": "For the load of a page whose URL the gateway names: where the browser is to be sent",
    "schema": {"type": "string", "format": "uri"},
}


def _refused(*problems: type[Problem]) -> Responses:
    """Other refusals of auth become a 403 with their own code (answers.py)."""
    answers = refused(*NOT_AUTHENTICATED, CookieSentTwice, *problems)
    answers[403] = with_common_codes(answers[403])
    located = {"X-Auth-Location": _LOCATION}
    return {status: answer | {"headers": answer["headers"] | located} for status, answer in answers.items()}


_RESPONSES: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "The request may pass",
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
    },
    **_refused(EmailNotVerified, SecondFactorRequired),
}
_RESPONSES_TO_DEMANDS = (
    _RESPONSES
    | {
        302: {
            "description": "With `/browser`: a page load goes to the login, or where it can be mended, and comes back"
        }
    }
    | _refused(InsufficientAuthentication, EmailNotVerified, SecondFactorRequired, NotPermitted)
)
_ONLY = {ONLY: [204, 302, 401, 403]}

_ONE = rf"group/{GROUP_NAME}|acr/[123]|age/[1-9][0-9]{{0,8}}"
_DEMANDS = {
    "name": "demands",
    "in": "path",
    "required": True,
    "description": (
        "In this order, and all must hold: `admin`; `group/{name}`, for each group that the account must be in;"
        " `acr/{1|2|3}`, the least class of the login; `age/{seconds}`, since the person last proved who they are;"
        " `browser`: a page load that is refused is redirected."
        " The slashes are sent as they are: percent-encoded ones are refused"
    ),
    "schema": {"type": "string", "pattern": f"^(browser|(admin|{_ONE})(/({_ONE}))*(/browser)?)$"},
    "examples": {each: {"value": each} for each in ("admin", "group/staff", "acr/2/age/300", "browser")},
}

router = APIRouter(prefix=PATH, route_class=LeanRoute)


async def passing_session(request: Request, _scheme: AccessScheme = None) -> CurrentSession:
    """Raises `TokenNotValid`, `EmailNotVerified`, `SecondFactorRequired`, and what `demanded` and `check` raise."""
    demands = demanded(request.scope["raw_path"])
    current = await _current(request)
    session, settings = current.session, (await composed(request)).settings
    if settings.email_verification == "required" and not session.email_verified:
        raise EmailNotVerified
    if settings.demands_second_factor(is_admin=session.of_admin) and not current.token.second_factor:
        raise SecondFactorRequired
    demands.check(current)
    return current


async def _current(request: Request) -> CurrentSession:
    """By the token, and without one by the cookie of a browser."""
    try:
        return await current_session(request)
    except TokenMissing:
        if "cookie" not in request.headers:
            raise
        auth = await composed(request)
        try:
            given = cookie(request.scope, GATE if auth.settings.gate_cookie_domain else SESSION)
        except CookieTwice:
            raise CookieSentTwice from None
        if given is None:
            raise
        found = await auth.cookies.at_gateway(given)
        if found is None:
            raise TokenNotValid from None
        return CurrentSession(token=found.token, session=found.session)


Passing = Annotated[CurrentSession, Depends(passing_session)]


@router.get(
    "",
    status_code=204,
    response_model=None,
    responses=_RESPONSES,
    openapi_extra=_ONLY,
    summary="For a gateway: may this request pass, and whose is it?",
)
async def forward(current: Passing) -> Response:
    """Refused with 401 or 403 and nothing else. Any other method is answered like GET; a body is not looked at."""
    return _passes(current)


@router.get(
    "/{demands:path}",  # noqa: FAST003 - its guard reads the path as it was sent
    status_code=204,
    response_model=None,
    responses=_RESPONSES_TO_DEMANDS,
    openapi_extra=_ONLY | {"parameters": [_DEMANDS]},
    summary="The same, with demands on the account and its login",
)
async def forward_demands(current: Passing) -> Response:
    """Nothing is read from the query, which is the client's. Anything else in the path is refused: 403 `not_found`."""
    return _passes(current)


def _passes(current: CurrentSession) -> Response:
    token, session = current.token, current.session
    values = (
        str(token.account),
        str(token.session),
        "true" if session.is_admin else "false",
        "true" if session.email_verified else "false",
        ",".join(session.groups),  # empty, not left out: a gateway may leave a client's own header where we send none
        str(token.acr),
        " ".join(token.amr),
        str(token.auth_time),
    )
    answer = Response(status_code=204)
    # Given as an argument, the names would be lowered and encoded for each answer: 4 µs of the 50 of a check.
    answer.raw_headers += [(name, value.encode()) for name, value in zip(_NAMES, values, strict=True)]
    return answer
