"""CORS (Fetch standard). Credentials are not allowed: no cookie is read, and scripts send the token themselves."""

from __future__ import annotations

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


def for_browsers(app: ASGIApp, origins: Collection[str], *, but: tuple[str, ...] = ()) -> ASGIApp:
    """Add CORS for `origins` to `app`, except below the paths `but`."""
    if not origins:
        return app
    allowing = CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"),
        expose_headers=("ETag", "Link", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
        max_age=600,  # seconds that a browser caches a preflight answer
    )

    async def cors(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"].startswith(but) else allowing)(scope, receive, send)

    return cors
