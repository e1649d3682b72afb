"""Django: `@access_token_required(tokens)` before a view, which finds the `AccessToken` in `request.access_token`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from login2fa_client.bearer import ANY, PROBLEM, Refused, checked
from login2fa_client.demands import Demands
from login2fa_client.tokens import AccessTokens

View = Callable[..., HttpResponse]


def access_token_required(tokens: AccessTokens, demands: Demands = ANY) -> Callable[[View], View]:
    """Answers 401 as RFC 6750 and RFC 9470 have it, or 503 while nobody can tell. Such a view needs no CSRF token."""

    def decorated(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            # A server joins several headers of one name with a comma, which no bearer token has.
            given = request.headers.get("Authorization")
            try:
                token = checked(tokens, [] if given is None else given.split(","), demands)
            except Refused as refused:
                return HttpResponse(refused.body, PROBLEM, refused.status, headers=refused.headers)
            request.access_token = token
            return view(request, *args, **kwargs)

        exempt: View = csrf_exempt(guarded)  # the token is no cookie: no other site can send it
        return exempt

    return decorated
