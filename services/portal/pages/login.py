"""Log in with a password or a passkey, be sent on, and log out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies
from services.portal.api import Refused
from services.portal.visit import Visiting

router = APIRouter()


@router.get("/login")
async def login_page(visit: Visiting) -> Response:
    return visit.page("login")


@router.post("/login")
async def log_in(visit: Visiting) -> Response:
    """With a second factor the temporary token goes into a cookie, and the next page asks for the factor."""
    given = {"username": visit.form.get("username", ""), "password": visit.form.get("password", "")}
    device = visit.cookie(cookies.DEVICE)
    try:
        answer = await visit.api.post("/auth/token", **given, **({"device_token": device} if device else {}))
    except Refused as refused:
        return visit.again("login", refused)
    if answer["otp_required"]:
        visit.keep(cookies.LOGIN, answer["temporary_token"])
        return visit.to("/login/verify", rd=visit.target, **({"keep": "1"} if visit.form.get("keep") else {}))
    await visit.begin_session(answer["refresh_token"], keep=bool(visit.form.get("keep")))
    return visit.onward()


@router.get("/continue")
async def continue_page(visit: Visiting) -> Response:
    """A redirect by the page itself: browsers hold one after a form to `form-action`."""
    return visit.page("continue")


@router.post("/logout")
async def log_out(visit: Visiting) -> Response:
    await visit.api.post("/auth/logout", await visit.token())
    visit.say("logged_out")
    return visit.to("/login")
