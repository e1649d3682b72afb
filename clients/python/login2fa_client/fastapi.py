"""FastAPI: `Annotated[AccessToken, Depends(current_user(tokens))]`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import HTTPException, Request

from login2fa_client.demands import REALM, Demands, InsufficientAuthentication
from login2fa_client.errors import TokenInvalid, Unavailable
from login2fa_client.tokens import AccessToken, AccessTokens

_ANY: Final = Demands()


def current_user(tokens: AccessTokens, demands: Demands = _ANY) -> Callable[[Request], Awaitable[AccessToken]]:
    """A dependency: the caller's token, else 401 as RFC 6750 and RFC 9470 have it, or 503 while nobody can tell."""

    async def authenticate(request: Request) -> AccessToken:
        try:
            token = await tokens.verify_async(_bearer(request))
            demands.check(token)
        except TokenInvalid:
            raise _refused("Token not valid", f'{REALM}, error="invalid_token"') from None
        except InsufficientAuthentication as error:
            raise _refused("This needs a stronger or more recent login", error.challenge) from None
        except Unavailable:
            raise HTTPException(503, "Temporarily unavailable", {"Retry-After": "1"}) from None
        return token

    return authenticate


def _bearer(request: Request) -> str:
    offered = request.headers.getlist("authorization")
    if not offered:
        raise _refused("There is no token", REALM)
    scheme, _, token = offered[0].partition(" ")
    if len(offered) > 1 or scheme.lower() != "bearer":
        raise TokenInvalid("not one bearer token")
    return token.strip(" ")


def _refused(detail: str, challenge: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": challenge})
