"""One request of a browser: who it is, what it may do, and the page that it gets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from fastapi import Depends, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from services.portal import cookies, forms
from services.portal.api import Api, Refused, Services
from services.portal.cookies import Cookie
from services.portal.languages import chosen
from services.portal.rendering import Pages
from services.portal.settings import PortalSettings
from shared.observability import tracing
from shared.observability.correlation import correlation_id
from shared.redirects import Redirects
from shared.web.cookies import SESSION, CookieTwice, cookie
from shared.web.problems import Problem

log = structlog.get_logger()

SAFE = ("GET", "HEAD")
HOME = "/account"

# The session is at fault: the error page leads to the login, or to a step-up, and back.
_NOT_THE_FORM = ("invalid_token", "login_too_old", "second_factor_required")
_FOR_NOW = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class CrossSite(Problem):
    status = 403
    code = "cross_site"
    detail = (
        "This did not come from a page of ours, or the page is too old: open it again, and send the form from there"
    )


class LoginNeeded(Exception):
    """There is no session, or no longer; the browser is sent to the login, and back to `target`."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    settings: PortalSettings
    services: Services
    pages: Pages
    redirects: Redirects


@dataclass(slots=True, kw_only=True)
class Visit:
    """`form`: the fields of a POST that was sent by a page of ours."""

    request: Request
    portal: Portal
    api: Api
    language: str
    form: Mapping[str, str] = field(default_factory=dict)
    _set: list[tuple[Cookie, str | None]] = field(default_factory=list)
    _session: tuple[str, str | None, int | None] | None = None
    _ended: bool = False

    def cookie(self, which: Cookie) -> str | None:
        return _cookie(self.request, which.name)

    def keep(self, which: Cookie, value: str) -> None:
        """The browser keeps it, from this answer on."""
        self._set.append((which, value))

    def forget(self, which: Cookie) -> None:
        self._set.append((which, None))

    def say(self, notice: str, number: int | None = None) -> None:
        """The next page begins with the text `notice.<notice>`, whose `{number}` is this."""
        self.keep(cookies.NOTICE, notice if number is None else f"{notice}:{number}")

    @property
    def target(self) -> str:
        """Where the browser wants to go after all this (`rd`), if it may; else the account."""
        given = self.form.get("rd") or self.request.query_params.get("rd")
        return self.portal.redirects.allowed(given) or HOME

    async def token(self) -> str:
        """A short-lived access token of the browser's session. Raises `LoginNeeded`."""
        session = _cookie(self.request, SESSION)
        if session is None:
            raise LoginNeeded(self.here)
        try:
            answer = await self.api.post("/auth/cookie/access", session_cookie=session)
        except Refused as refused:
            if refused.status in (401, 422):
                raise LoginNeeded(self.here) from None
            raise
        token: str = answer["access_token"]
        return token

    async def begin_session(self, refresh_token: str, *, keep: bool | None = None) -> None:
        """The pair of a login or step-up becomes the cookies of this answer. `keep`: me logged in; None: as before."""
        made = await self.api.post("/auth/cookie", refresh_token=refresh_token, keep_logged_in=keep)
        self._session = made["session_cookie"], made["gate_cookie"], made["max_age"]

    def end_session(self) -> None:
        """The browser forgets it, and what was under way. The API has been told, or knows of none."""
        self._ended = True
        self.forget(cookies.LOGIN)
        self.forget(cookies.CODE)

    def data(self, content: Any) -> JSONResponse:
        """For a script of ours."""
        response = JSONResponse(content)
        self._dress(response)
        return response

    def page(self, template: str, status: int = 200, *, refused: Refused | None = None, **context: Any) -> HTMLResponse:
        """Also gets `form_token`, `rd`, `path`, `query`, `notice`, `number`, and what `refused` comes to: `text`, and
        for each invalid field `field_<name>`.
        """
        said = self.cookie(cookies.NOTICE)
        if said is not None:
            self.forget(cookies.NOTICE)
        notice, _, number = (said or "").partition(":")
        values = {
            "form_token": forms.token_of(self._form_secret()),
            "rd": self.target,
            "path": self.request.url.path,
            "query": self._query(),
            "notice": notice if self.portal.pages.knows(f"notice.{notice}") else None,
            "number": number,
            "refused": self._explained(refused) if refused is not None else None,
        }
        response = self.portal.pages.html(template, self.language, status, **(values | context))
        self._dress(response)
        return response

    def _query(self) -> dict[str, str]:
        """The query of this page, for links to it in another language."""
        given = {name: value for name, value in self.request.query_params.items() if name != "rd"}
        return given if self.target == HOME else given | {"rd": self.target}

    def again(self, template: str, refused: Refused, **context: Any) -> HTMLResponse:
        """The page of a form that was refused, with the reason, also if it is only for now. Raises `refused` if the
        session is at fault.
        """
        if refused.code in _NOT_THE_FORM:
            raise refused
        status = refused.status if refused.status in _FOR_NOW else HTTPStatus.UNPROCESSABLE_ENTITY
        return self.page(template, status, refused=refused, **context)

    def _explained(self, refused: Refused) -> Mapping[str, str]:
        key, pages = f"error.{refused.code}", self.portal.pages
        text = pages.text(self.language, key, seconds=refused.retry_after) if pages.knows(key) else refused.detail
        return {"text": text, **{f"field_{name}": detail for name, detail in refused.fields.items()}}

    @property
    def back(self) -> str:
        """The page of ours that this came from."""
        came_from = self.portal.redirects.allowed(self.request.headers.get("referer"))
        return self.portal.redirects.own_path(came_from) or HOME

    def to(self, path: str, **query: str) -> RedirectResponse:
        """To a page of ours."""
        response = RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)
        self._dress(response)
        return response

    def onward(self) -> RedirectResponse:
        """To `target`: through a page of ours if it is elsewhere, for a redirect after a POST would be swallowed."""
        return self.to(self.target) if self.target.startswith("/") else self.to("/continue", rd=self.target)

    @property
    def here(self) -> str:
        """The page to come back to after a login or step-up: this one, or the one whose form this is."""
        if self.request.method not in SAFE:
            return self.back
        return f"{self.request.url.path}?{self.request.url.query}" if self.request.url.query else self.request.url.path

    def _form_secret(self) -> str:
        """The cookie of the session, or before there is one a cookie for it."""
        secret = _cookie(self.request, SESSION) or self.cookie(cookies.FORM)
        if self._session is not None:
            secret = self._session[0]
        if secret is None:
            secret = secrets.token_urlsafe(32)
            self.keep(cookies.FORM, secret)
        return secret

    def _dress(self, response: Response) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        for which, value in self._set:
            if value is None:
                cookies.drop(response, which)
            else:
                cookies.put(response, which, value)
        if self._ended:
            cookies.drop_session(response, self.portal.settings.gate_cookie_domain)
        if self._session is not None:
            session, gate, max_age = self._session
            cookies.put_session(response, session, max_age)
            if gate is not None:
                cookies.put_gate(response, gate, self.portal.settings.gate_cookie_domain, max_age)


async def visit(request: Request) -> Visit:
    """Raises `CrossSite` for a POST that no page of ours has sent."""
    portal: Portal = request.app.state.portal
    headers = request.headers
    asked = request.query_params.get("lang") or _cookie(request, cookies.LANGUAGE.name)
    language = chosen(portal.pages.languages, asked, headers.get("accept-language", ""))
    told = {"X-Request-ID": correlation_id.get(), "User-Agent": headers.get("user-agent", "")}
    if (traceparent := tracing.traceparent()) is not None:
        told["traceparent"] = traceparent
    if request.client is not None:
        told["X-Forwarded-For"] = request.client.host
    made = Visit(request=request, portal=portal, api=Api(portal.services, told), language=language)
    if request.query_params.get("lang") in portal.pages.languages:
        made.keep(cookies.LANGUAGE, language)
    if request.method not in SAFE:
        made.form = await _own_form(request, portal)
    return made


Visiting = Annotated[Visit, Depends(visit)]


async def _own_form(request: Request, portal: Portal) -> Mapping[str, str]:
    if not forms.is_own(request.headers, portal.settings.issuer):
        raise CrossSite
    if not forms.is_plain(request.headers):
        raise CrossSite
    async with request.form(max_fields=50) as sent:
        fields = {name: value for name, value in sent.multi_items() if isinstance(value, str)}
    secret = _cookie(request, SESSION) or _cookie(request, cookies.FORM.name)
    if not forms.has_token(fields.pop("form_token", ""), secret):
        raise CrossSite
    return fields


def _cookie(request: Request, name: str) -> str | None:
    """None also if it comes twice: one of both is not ours."""
    try:
        return cookie(request.scope, name)
    except CookieTwice:
        log.info("a cookie comes twice", cookie=name)
        return None
