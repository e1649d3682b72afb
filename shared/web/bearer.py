"""Bearer tokens (RFC 6750), accepted only in a single Authorization header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from shared.web.problems import Problem

REALM = 'Bearer realm="login2fa"'

# Only the scheme is case-insensitive (RFC 9110 section 11.1). IGNORECASE for the token too would cost 10 µs.
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_SCHEME = re.compile(rb"(?i:bearer)[ \t]")


class TokenNotValid(Problem):
    """RFC 6750 section 3.1 `invalid_token`."""

    status = 401
    code = "invalid_token"
    detail = "Token not valid"
    headers: Mapping[str, str] = {"WWW-Authenticate": f'{REALM}, error="invalid_token", error_description="{detail}"'}


class TokenMissing(Problem):
    """No credentials: RFC 6750 section 3.1 wants a challenge without an error code."""

    status = 401
    code = "token_missing"
    detail = "There is no token: send the header `Authorization: Bearer <token>`"
    headers: Mapping[str, str] = {"WWW-Authenticate": REALM}


class SchemeNotBearer(TokenMissing):
    """Another scheme: RFC 6750 section 3.1 treats it like no credentials."""

    code = "scheme_not_bearer"
    detail = "The header Authorization does not begin with Bearer: send `Authorization: Bearer <token>`"


class NotPermitted(Problem):
    """RFC 6750 section 3.1 `insufficient_scope`."""

    status = 403
    code = "not_enough_permissions"
    detail = "Not enough permissions"
    headers: Mapping[str, str] = {"WWW-Authenticate": f'{REALM}, error="insufficient_scope"'}


class SecondFactorRequired(Problem):
    """REQUIRE_2FA, or the act of whoever has a second factor, demands one, and this session has had none.

    Error code and parameter: RFC 9470 section 3.
    """

    status = 403
    code = "second_factor_required"
    detail = (
        "This needs a login with a second factor: use yours with `POST /api/v1/auth/step-up`, or add one first,"
        " such as an authenticator app with `POST /api/v1/auth/factors/totp`, and log in again"
    )
    headers: Mapping[str, str] = {
        "WWW-Authenticate": f'{REALM}, error="insufficient_user_authentication", error_description="{detail}",'
        ' acr_values="urn:login2fa:acr:2"'
    }


class InsufficientAuthentication(Problem):
    """RFC 9470 section 3: the token is good, but a gateway demands a higher class (`acr_values`) or a login of at most
    `max_age` seconds. The challenge names what was demanded and nothing else.
    """

    status = 401
    code = "insufficient_user_authentication"
    detail = (
        "This needs a stronger or more recent login: prove again who you are, beginning with"
        " `POST /api/v1/auth/step-up`, and use the new token"
    )

    def __init__(self, acr_values: str | None, max_age: int | None) -> None:
        super().__init__()
        challenge = f'{REALM}, error="{self.code}", error_description="{self.detail}"'
        if acr_values is not None:
            challenge += f', acr_values="{acr_values}"'
        if max_age is not None:
            challenge += f', max_age="{max_age}"'
        self.headers = {"WWW-Authenticate": challenge}


class LoginTooOld(Problem):
    status = 403
    code = "login_too_old"
    detail = "This change needs a fresh login: please log in again"


# For the OpenAPI document only: with two headers they would accept the first.
def _scheme(name: str, description: str) -> HTTPBearer:
    return HTTPBearer(scheme_name=name, bearerFormat="JWT", auto_error=False, description=description)


_access = _scheme(
    "access_token",
    "The `access_token` that a login ended with, without the word Bearer. It is good for an hour: then swap"
    " the `refresh_token` at `POST /api/v1/auth/refresh-token`.",
)
_temporary = _scheme(
    "temporary_token",
    "The `temporary_token` that `POST /api/v1/auth/token` answers when the account has a second factor, and"
    " `POST /api/v1/auth/step-up`, without the word Bearer. It is good for four minutes, and only for that login.",
)


def bearer_token(scope: Scope) -> str:
    """The one bearer token of the request; raises `TokenMissing`, `SchemeNotBearer` or `TokenNotValid`."""
    offered = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(offered) == 1 and (match := _CREDENTIALS.fullmatch(offered[0])):
        return match[1].decode("ascii")
    raise _refusal(offered)


def _refusal(offered: Sequence[bytes]) -> Problem:
    if len(offered) > 1:
        return TokenNotValid()
    text = offered[0].strip() if offered else b""
    if not text or text.lower() == b"bearer":
        return TokenMissing()
    return TokenNotValid() if _SCHEME.match(text) else SchemeNotBearer()


# Types of unused guard parameters: they add the padlock to the OpenAPI document.
AccessScheme = Annotated[HTTPAuthorizationCredentials | None, Security(_access)]
TemporaryScheme = Annotated[HTTPAuthorizationCredentials | None, Security(_temporary)]
