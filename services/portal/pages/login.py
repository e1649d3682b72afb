"""Log in with a password or a passkey."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies, under_way
from services.portal.api import Refused
from services.portal.completed import complete
from services.portal.passkey_answers import answered
from services.portal.visit import LoginNeeded, Visit, Visiting

router = APIRouter()


@router.get("/login")
async def login_page(visit: Visiting) -> Response:
    """Whoever is logged in goes on. If that page does not take the session and sends the browser back, it is not sent
    there again: a new login makes all cookies anew.
    """
    if not await _logged_in(visit):
        return _page(visit)
    if visit.cookie(cookies.SENT_ON) is not None:
        return _page(visit, sent_back=True)
    visit.keep(cookies.SENT_ON, "1")
    return visit.onward()


@router.post("/login")
async def log_in(visit: Visiting) -> Response:
    try:
        answer = await _password(visit)
    except Refused as refused:
        return _page(visit, refused)
    return await _second_step(visit, answer)


@router.post("/login/passkey/options")
async def passkey_options(visit: Visiting) -> Response:
    return visit.data(await visit.api.post("/auth/passkey/options"))


@router.get("/login/passkey")
async def passkey_page(visit: Visiting) -> Response:
    """That of a refused passkey, loaded again."""
    return visit.to("/login", rd=visit.target)


@router.post("/login/passkey")
async def log_in_with_passkey(visit: Visiting) -> Response:
    try:
        answer = await visit.api.post("/auth/passkey", **answered(visit.form))
    except Refused as refused:
        return _page(visit, refused)
    return await complete(visit, answer, keep=bool(visit.form.get("keep")))


async def _logged_in(visit: Visit) -> bool:
    try:
        await visit.token()
    except LoginNeeded:
        return False
    return True


async def _password(visit: Visit) -> dict[str, Any]:
    given = {"username": visit.form.get("username", ""), "password": visit.form.get("password", "")}
    device = visit.cookie(cookies.DEVICE)
    answer: dict[str, Any] = await visit.api.post(
        "/auth/token", **given, **({"device_token": device} if device else {})
    )
    return answer


async def _second_step(visit: Visit, answer: dict[str, Any]) -> Response:
    """If there is one, the temporary token goes into a cookie, and the next page asks for the factor."""
    keep = bool(visit.form.get("keep"))
    if not answer["otp_required"]:
        return await complete(visit, answer, keep=keep)
    under_way.begin(visit, answer["temporary_token"], keep=keep)
    return visit.to("/login/verify", rd=visit.target)


def _page(visit: Visit, refused: Refused | None = None, *, sent_back: bool = False) -> Response:
    """`refused`: what was typed stays, but for the password."""
    typed: dict[str, Any] = {
        "username": visit.form.get("username", ""),
        "keep": bool(visit.form.get("keep")),
        "sent_back": sent_back,
    }
    return visit.page("login", **typed) if refused is None else visit.again("login", refused, **typed)
