"""CORS (Fetch standard). Credentials are not allowed: no cookie is read, and scripts send the token themselves."""

from __future__ import annotations

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID")
_READ = ("ETag", "Link", "Retry-After", "WWW-Authenticate", "X-Request-ID")

_KEPT = 600  # seconds that a browser caches a preflight answer


def for_browsers(app: ASGIApp, origins: Collection[str], *, but: tuple[str, ...] = ()) -> ASGIApp:
    """Add CORS for `origins` to `app`, except below the paths `but`."""
    return _Cors(app, origins, but) if origins else app


class _Cors:
    def __init__(self, app: ASGIApp, origins: Collection[str], but: tuple[str, ...]) -> None:
        self._app = app
        self._but = but
        self._allowing = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_READ,
            max_age=_KEPT,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        never = scope["type"] != "http" or scope["path"].startswith(self._but)
        await (self._app if never else self._allowing)(scope, receive, send)
