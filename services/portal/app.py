"""Composes the portal: pages for people, a client of the HTTP API like any other. It has no database and no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.portal.api import Refused, Services
from services.portal.pages import ROUTERS
from services.portal.rendering import Pages
from services.portal.settings import PortalSettings
from services.portal.visit import SAFE, LoginNeeded, Portal, visit
from shared.configuration.connections import trusted
from shared.redirects import Redirects
from shared.web.application import Service
from shared.web.problems import Problem
from shared.web.process import Running
from shared.web.rate_limit import RateLimiter

log = structlog.get_logger()

# Above what the API may take: two waits for a hash, and the deadlines of the database.
_PATIENCE = httpx.Timeout(30.0, connect=2.0)
# A connection serves one request: a kept one would lead to a replica that has moved.
_NONE_KEPT = httpx.Limits(max_keepalive_connections=0)


def build(settings: PortalSettings, services: Services) -> Service:
    app = Service(
        "portal",
        max_body=settings.max_body,
        max_headers=settings.max_headers,
        token_endpoints=frozenset(),
        limiter=RateLimiter(frozenset(), None),  # the API's, which is told who asks
        trusted_proxies=settings.trusted_proxies,
        strict_query=False,  # pages are linked to from anywhere, with anything
    )
    app.state.portal = Portal(
        settings=settings,
        services=services,
        pages=Pages(site=settings.site_name, theme=settings.portal_theme_dir),
        redirects=Redirects(settings.issuer, settings.portal_redirects),
    )
    for each in ROUTERS:
        app.include_router(each)
    for kind in (*app.exception_handlers, Refused, LoginNeeded):  # in the place of problem documents
        app.add_exception_handler(kind, _error_page)
    return app


@asynccontextmanager
async def running(settings: PortalSettings, services: Services | None = None) -> AsyncIterator[Running]:
    """`services`: those of the same process; else they are asked at AUTH_URL and USERS_URL."""
    made = services or Services(auth=_client(settings.auth_url), users=_client(settings.users_url))
    try:
        yield Running(app=build(settings, made), keep_alive=settings.keep_alive)
    finally:
        await made.auth.aclose()
        await made.users.aclose()


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=_PATIENCE, limits=_NONE_KEPT, trust_env=False, verify=trusted())


async def _error_page(request: Request, error: Exception) -> Response:
    """A page that says what went wrong, and what to do next."""
    was_form = request.method not in SAFE
    request.scope["method"] = "GET"  # the form was refused, or has been read
    visiting = await visit(request)
    here = visiting.back if was_form else visiting.here
    match error:
        case LoginNeeded():
            return visiting.to("/login", rd=error.target)
        case Refused(code="invalid_token"):
            return visiting.to("/login", rd=here)
        case Refused(code="login_too_old"):
            return visiting.to("/step-up", rd=here)
        case Refused(code="second_factor_required"):
            return visiting.to("/step-up", rd=here, acr="2")
        case Refused():
            refused = error
        case Problem():
            refused = Refused(error.status, error.code, error.detail)
        case HTTPException():
            refused = Refused(error.status_code, {404: "not_found"}.get(error.status_code, "bad_request"), "")
        case RequestValidationError():
            refused = Refused(404, "not_found", "")
        case _:
            log.error("unexpected error", error=type(error).__name__, exc_info=error)
            refused = Refused(500, "internal_error", "")
    return visiting.page("error", refused.status, refused=refused, rd=visiting.back)
