"""Ways out: on to the page that wanted a login, and the logout."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.visit import LoginNeeded, Visiting

router = APIRouter()


@router.get("/continue")
async def continue_page(visit: Visiting) -> Response:
    """A redirect by the page itself: browsers hold one after a form to `form-action`."""
    return visit.page("continue")


@router.get("/logout")
async def logout_page(visit: Visiting) -> Response:
    """A link changes nothing: the button of this page does."""
    return visit.page("logout")


@router.post("/logout")
async def log_out(visit: Visiting) -> Response:
    with suppress(LoginNeeded):  # it has ended before
        await visit.api.post("/auth/logout", await visit.token())
    visit.end_session()
    visit.say("logged_out")
    return visit.to("/login", rd=visit.target)
