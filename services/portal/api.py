"""The HTTP API of auth and users, asked for one person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import structlog

log = structlog.get_logger()

_USERS = "/api/v1/users"


class Refused(Exception):
    """The answer of the API if it is no success. `code` and `detail`: of the problem document. `fields`: the detail of
    each invalid field. `retry_after`: seconds, if it says so.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, fields: Mapping[str, str] | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields or {}
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Services:
    """`auth` and `users`: clients whose base URL is that of the service."""

    auth: httpx.AsyncClient
    users: httpx.AsyncClient


@dataclass(frozen=True, slots=True)
class Api:
    """`headers`: who asks (`X-Forwarded-For`, `User-Agent`, `X-Request-ID`)."""

    services: Services
    headers: Mapping[str, str] = field(repr=False)

    async def get(self, path: str, token: str | None = None, **params: Any) -> Any:
        return await self.ask("GET", path, token, params=params or None)

    async def post(self, path: str, token: str | None = None, **body: Any) -> Any:
        return await self.ask("POST", path, token, json=body)

    async def patch(self, path: str, token: str, *, etag: str | None = None, **body: Any) -> Any:
        return await self.ask("PATCH", path, token, json=body, headers={"If-Match": etag} if etag else {})

    async def delete(self, path: str, token: str, *, etag: str | None = None) -> Any:
        return await self.ask("DELETE", path, token, headers={"If-Match": etag} if etag else {})

    async def read(self, path: str, token: str, **params: Any) -> httpx.Response:
        """The answer to GET with its headers: the version of an account (`ETag`), the next page of a list (`Link`)."""
        return await self._answer("GET", path, token, params=params or None)

    async def ask(self, method: str, path: str, token: str | None = None, **rest: Any) -> Any:
        """The JSON of the answer, or None. `path` begins after `/api/v1`. Raises `Refused`."""
        answer = await self._answer(method, path, token, **rest)
        return answer.json() if answer.content else None

    async def _answer(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        path = f"/api/v1{path}"
        client = self.services.users if path.startswith(_USERS) else self.services.auth
        sent = {**self.headers, **(headers or {})} | ({"Authorization": f"Bearer {token}"} if token else {})
        # As they came: browsers may send what is not ASCII.
        encoded = {name.encode(): value.encode("latin-1") for name, value in sent.items()}
        try:
            answer = await client.request(method, path, params=params, json=json, headers=encoded)
        except httpx.HTTPError as error:
            log.warning("a service does not answer", error=type(error).__name__)
            raise Refused(503, "temporarily_unavailable", "", retry_after=2) from None
        if answer.is_success:
            return answer
        raise _refused(answer)


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return Refused(503, "temporarily_unavailable", "", retry_after=2)
    # An item of a list, `groups.0`, has no field of its own in a form.
    fields = {each["field"].partition(".")[0]: each["detail"] for each in problem.get("errors", ())}
    wait = answer.headers.get("retry-after", "")
    return Refused(answer.status_code, code, detail, fields=fields, retry_after=int(wait) if wait.isdecimal() else 0)
