"""A request's token, whatever the framework: RFC 6750 and RFC 9470."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from login2fa_client.demands import REALM, Demands, InsufficientAuthentication
from login2fa_client.errors import TokenInvalid, Unavailable
from login2fa_client.tokens import AccessToken, AccessTokens

ANY: Final = Demands()
PROBLEM: Final = "application/problem+json"


class Refused(Exception):
    """The answer to the client: `status` 401 or 503, `headers`, and `body`, a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def body(self) -> bytes:
        return json.dumps({"type": "about:blank", "status": self.status, "detail": self.detail}).encode()


def checked(tokens: AccessTokens, authorization: Sequence[str], demands: Demands = ANY) -> AccessToken:
    """`authorization`: every header of that name. Raises `Refused`."""
    with _refusing():
        token = tokens.verify(_bearer(authorization))
        demands.check(token)
        return token


async def checked_async(tokens: AccessTokens, authorization: Sequence[str], demands: Demands = ANY) -> AccessToken:
    with _refusing():
        token = await tokens.verify_async(_bearer(authorization))
        demands.check(token)
        return token


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except TokenInvalid:
        raise _refused("Token not valid", f'{REALM}, error="invalid_token"') from None
    except InsufficientAuthentication as error:
        raise _refused("This needs a stronger or more recent login", error.challenge) from None
    except Unavailable:
        raise Refused(503, "Temporarily unavailable", {"Retry-After": "1"}) from None


def _bearer(authorization: Sequence[str]) -> str:
    if not authorization:
        raise _refused("There is no token", REALM)
    scheme, _, token = authorization[0].partition(" ")
    if len(authorization) > 1 or scheme.lower() != "bearer":
        raise TokenInvalid("not one bearer token")
    return token.strip(" ")


def _refused(detail: str, challenge: str) -> Refused:
    return Refused(401, detail, {"WWW-Authenticate": challenge})
