"""Asking an inbox over HTTP: where it answers, and one sentence when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx

from login2fa_testing.inbox import InboxUnreachable

ANSWER_SECONDS = 10.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class InboxHttp:
    """`address` may be a function: the port of a container is another one after its restart."""

    def __init__(self, kind: str, address: str | Callable[[], str]) -> None:
        self._kind = kind
        self._address = address

    @property
    def place(self) -> str:
        return f"{self._kind} at {without_password(self._url())}"

    def get(self, path: str, **query: str | int) -> Any:  # Any: what JSON holds
        answer = self._ask("GET", path, params=query)
        try:
            return answer.json()
        except json.JSONDecodeError as error:
            raise InboxUnreachable(f"{self.place} answered GET {path} with something else than JSON.") from error

    def get_text(self, path: str) -> str:
        return self._ask("GET", path).text

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def _url(self) -> str:
        return self._address if isinstance(self._address, str) else self._address()

    @cached_property
    def _client(self) -> httpx.Client:
        # No connection is kept: after a restart of the inbox it would be a dead one.
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(timeout=ANSWER_SECONDS, limits=limits, trust_env=not on_this_machine(self._url()))

    def _ask(self, method: str, path: str, params: dict[str, str | int] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, self._url().rstrip("/") + path, params=params)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InboxUnreachable(f"{self.place} does not answer: {type(error).__name__} {error}.") from error
        if not answer.is_success:
            raise InboxUnreachable(f"{self.place} answered {method} {path} with {answer.status_code}.")
        return answer


def on_this_machine(url: str) -> bool:
    """Whether a request to `url` must not take the way over somebody's proxy."""
    return httpx.URL(url).host in _LOOPBACK


def without_password(url: str) -> str:
    return str(httpx.URL(url).copy_with(userinfo=b""))
