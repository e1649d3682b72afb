"""Browsers at a gateway: a page load that is refused leads to a page of ours, and from there back to where it was going
(docs/decisions/0021-browsers-at-the-gateway.md).

What the gateway says of the request may be the client's own words: they choose among PORTAL_REDIRECTS and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers
from starlette.types import Scope

from services.auth.gateway.forward import EmailNotVerified
from shared.redirects import Redirects
from shared.web.bearer import (
    InsufficientAuthentication,
    NotPermitted,
    SchemeNotBearer,
    SecondFactorRequired,
    TokenMissing,
    TokenNotValid,
)

_SAFE: Final = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`envoy`: the client's own path, if Envoy has appended it. `browser`: the gateway passes a redirect on."""

    scope: Scope
    acr: str | None = None
    age: str | None = None
    browser: bool = False
    envoy: str | None = None


class Browsers:
    """`issuer`: the public URL of our pages; `allowed`: PORTAL_REDIRECTS."""

    def __init__(self, issuer: str, allowed: Iterable[str]) -> None:
        self._issuer = issuer.rstrip("/")
        self._redirects = Redirects(issuer, allowed)

    def page(self, code: str, question: Question) -> str | None:
        """The URL of the page for whoever is refused with `code`. None where a page would not help, the request is no
        page load, or the gateway neither expects a redirect nor says which URL it is asking about.
        """
        headers = Headers(scope=question.scope)
        found = _page(code, question)
        if found is None or not _is_page_load(question.scope["method"], headers):
            return None
        target = self._original_url(question, headers)
        if target is None and not question.browser:
            return None
        path, query = found
        # Absent rather than wrong: after the login the person is at the own account.
        back = self._redirects.allowed(target)
        query |= {"rd": back} if back else {}
        # All of `rd` is encoded, or its `&`, `#` or second `rd` would be of our own URL.
        return f"{self._issuer}{path}" + (f"?{urlencode(query, quote_via=quote, safe='')}" if query else "")

    def _original_url(self, question: Question, headers: Headers) -> str | None:
        scheme, host = headers.get("x-forwarded-proto"), headers.get("x-forwarded-host")
        if question.envoy is not None:
            query = question.scope["query_string"].decode("latin-1")
            # Envoy's question has the client's headers: none but those that Envoy sets itself is looked at.
            scheme, host = scheme or self._issuer.partition(":")[0], headers.get("host")
            uri: str | None = f"{question.envoy or '/'}{'?' + query if query else ''}"
        elif url := headers.get("x-original-url"):
            return url
        else:
            uri = headers.get("x-forwarded-uri")
        return f"{scheme}://{host}{uri}" if scheme and host and uri else None


def _page(code: str, question: Question) -> tuple[str, dict[str, str]] | None:
    """Path and query. None for what is no fault of the person, or what no page can mend, such as a cookie that is sent
    twice: a login would lead back here, without end.
    """
    match code:
        case TokenMissing.code | SchemeNotBearer.code | TokenNotValid.code:
            return "/login", {}
        case InsufficientAuthentication.code:
            demanded = {"acr": question.acr, "age": question.age}
            return "/step-up", {name: value for name, value in demanded.items() if value}
        case SecondFactorRequired.code:
            return "/step-up", {"acr": "2"}
        case NotPermitted.code | EmailNotVerified.code:
            return "/denied", {"reason": code}
        case _:
            return None


def _is_page_load(method: str, headers: Headers) -> bool:
    """Only the load of a page may be answered with another page: a script would follow the redirect and fail, and what
    a form holds would be lost. Older browsers send no `Sec-Fetch-...`.
    """
    methods = {method, *headers.getlist("x-original-method"), *headers.getlist("x-forwarded-method")}
    return (
        methods <= _SAFE
        and "text/html" in ",".join(headers.getlist("accept")).lower()
        and set(headers.getlist("sec-fetch-mode")) <= {"navigate"}
        and set(headers.getlist("sec-fetch-dest")) <= {"document"}
        # A program's. A login would not take its bad token away.
        and not headers.get("authorization", "").lower().startswith("bearer")
    )
