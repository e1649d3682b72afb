"""Bearer tokens in requests (RFC 6750): from the Authorization header, once, and from nowhere else."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from shared.problems import Problem

REALM = 'Bearer realm="login2fa"'

# Only the scheme is case-insensitive (RFC 9110 section 11.1): IGNORECASE takes 10 µs over the letters of a token.
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")


class TokenNotValid(Problem):
    """RFC 6750 section 3.1 `invalid_token`."""

    status = 401
    code = "invalid_token"
    detail = "Token not valid"

    def __init__(self) -> None:
        challenge = f'{REALM}, error="invalid_token", error_description="{self.detail}"'
        super().__init__(headers={"WWW-Authenticate": challenge})


class TokenMissing(Problem):
    """No credentials at all: RFC 6750 section 3.1 asks for a challenge without an error code."""

    status = 401
    code = "token_missing"
    detail = "Token not valid"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": REALM})


class NotPermitted(Problem):
    """RFC 6750 section 3.1 `insufficient_scope`."""

    status = 403
    code = "not_enough_permissions"
    detail = "Not enough permissions"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope"'})


# For the OpenAPI document; what it finds is not used, because it takes the first of two headers.
_documented = HTTPBearer(scheme_name="bearer", auto_error=False)


def bearer_token(scope: Scope) -> str:
    """The one bearer token of the request; raises `TokenMissing` or `TokenNotValid`."""
    offered = [value for name, value in scope["headers"] if name == b"authorization"]
    if not offered:
        raise TokenMissing
    match = _CREDENTIALS.fullmatch(offered[0])
    if len(offered) > 1 or match is None:
        raise TokenNotValid
    return match[1].decode("ascii")


async def _bearer_token(
    request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_documented)]
) -> str:
    return bearer_token(request.scope)


BearerToken = Annotated[str, Depends(_bearer_token)]
