"""Flask: `@access_token_required(tokens)` before a view, which finds the `AccessToken` in `flask.g.access_token`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Response, abort, g, request

from login2fa_client.bearer import ANY, Refused, checked
from login2fa_client.demands import Demands
from login2fa_client.tokens import AccessTokens

P = ParamSpec("P")
T = TypeVar("T")


def access_token_required(tokens: AccessTokens, demands: Demands = ANY) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Answers 401 as RFC 6750 and RFC 9470 have it, or 503 while nobody can tell."""

    def decorated(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                g.access_token = checked(tokens, request.headers.getlist("Authorization"), demands)
            except Refused as refused:
                answer = Response(
                    refused.body, refused.status, refused.headers, content_type="application/problem+json"
                )
                abort(answer)
            return view(*args, **kwargs)

        return guarded

    return decorated
