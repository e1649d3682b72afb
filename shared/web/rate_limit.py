"""The gateway's rate limit per address, for deployments with another gateway; n replicas allow n times the rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Self

from prometheus_client import Counter
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.client_address import told_apart
from shared.configuration.settings import HttpSettings
from shared.observability.correlation import client_address
from shared.web import problems
from shared.web.problems import TooManyRequests

_REMEMBERED = 20_000  # latest addresses (4 MB); an attacker with more of them gets new buckets

REFUSED = Counter("login2fa_floods_refused_total", "Requests refused because their address sent too many.")


class Buckets:
    """Token buckets: each client has `rate` requests a second, `burst` at once."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._missing: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by client: missing tokens, and when

    def __len__(self) -> int:
        return len(self._missing)

    def wait(self, client: str) -> float:
        """Seconds until the client may try again; 0 if this request passes, and it is then counted."""
        now = self._clock()
        missing, at = self._missing.get(client, (0.0, now))
        missing = max(0.0, missing - (now - at) * self._rate)
        excess = missing + 1 - self._burst
        self._missing[client] = (missing if excess > 0 else missing + 1, now)
        self._missing.move_to_end(client)
        if len(self._missing) > _REMEMBERED:
            self._missing.popitem(last=False)
        return max(0.0, excess / self._rate)


class RateLimiter:
    def __init__(self, paths: frozenset[str], buckets: Buckets | None) -> None:
        # Compiled like the framework's routes, so that no spelling of a path avoids the limit.
        self._patterns = [compile_path(path)[0] for path in paths]
        self._buckets = buckets

    @classmethod
    def of(cls, settings: HttpSettings, paths: frozenset[str]) -> Self:
        buckets = Buckets(settings.flood_rate, settings.flood_burst) if settings.flood_rate else None
        return cls(paths, buckets)

    def limits(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._patterns)

    def around(self, app: ASGIApp) -> ASGIApp:
        """A layer that runs before the body is read, so that a refusal is cheap."""
        if (buckets := self._buckets) is None:
            return app

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            client = told_apart(client_address.get())
            answer = app
            if client is not None and self.limits(scope["path"]) and (wait := buckets.wait(client)):
                REFUSED.inc()
                answer = await problems.respond(Request(scope), TooManyRequests(wait))
            await answer(scope, receive, send)

        return limited
