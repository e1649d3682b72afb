"""FastAPI: `Annotated[AccessToken, Depends(current_user(tokens))]`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from login2fa_client.bearer import ANY, Refused, checked_async
from login2fa_client.demands import Demands
from login2fa_client.tokens import AccessToken, AccessTokens


def current_user(tokens: AccessTokens, demands: Demands = ANY) -> Callable[[Request], Awaitable[AccessToken]]:
    """A dependency: the caller's token, else 401 as RFC 6750 and RFC 9470 have it, or 503 while nobody can tell."""

    async def authenticate(request: Request) -> AccessToken:
        try:
            return await checked_async(tokens, request.headers.getlist("authorization"), demands)
        except Refused as refused:
            raise HTTPException(refused.status, refused.detail, refused.headers) from None

    return authenticate
