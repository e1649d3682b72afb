"""One's own account: what is known, and where to change it; name, username and password."""

from __future__ import annotations

import json

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.rendering import HEADERS
from services.portal.visit import HOME, Visiting
from services.portal.wrong_fields import beside

router = APIRouter()

_PROFILE = ("name", "lastname", "username")
_FILE = 'attachment; filename="account.json"'


@router.get("/account")
async def account_page(visit: Visiting) -> Response:
    own = await member(visit)
    factors = await visit.api.get("/auth/factors", own.token)
    rules = await visit.api.get("/users/registration")
    return visit.page("account", account=own.account, factors=factors, verification=rules["email_verification"])


@router.get("/account/profile")
async def profile_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("profile", account=own.account, given=own.account)


@router.post("/account/profile")
async def change_profile(visit: Visiting) -> Response:
    """Only what differs is sent: a change of the username needs a recent login."""
    own = await member(visit)
    given = {name: visit.form.get(name, "") for name in _PROFILE}
    changes = {name: value for name, value in given.items() if value != own.account[name]}
    try:
        if changes:
            await visit.api.patch("/users/", own.token, **changes)
    except Refused as refused:
        return visit.again("profile", beside(visit, refused), account=own.account, given=given)
    visit.say("profile_changed")
    return visit.to(HOME)


@router.get("/account/password")
async def password_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("password", account=own.account)


@router.post("/account/password")
async def change_password(visit: Visiting) -> Response:
    """Without the current one if the login is recent."""
    own = await member(visit)
    given = {name: visit.form.get(name, "") for name in ("password", "confirm_password", "current_password")}
    if not given["current_password"]:
        del given["current_password"]
    try:
        await visit.api.post("/users/change-password", own.token, **given)
    except Refused as refused:
        return visit.again("password", beside(visit, refused), account=own.account)
    visit.say("password_changed")
    return visit.to(HOME)


@router.get("/account/export")
async def export(visit: Visiting) -> Response:
    """All that is kept of the account, as a file. The API tells no secret, so none is in it."""
    own = await member(visit)
    kept = {name: await visit.api.get(f"/auth/{name}", own.token) for name in ("factors", "sessions", "devices")}
    text = json.dumps({"account": own.account, **kept}, indent=2, ensure_ascii=False)
    return Response(text, headers=HEADERS | {"Content-Disposition": _FILE}, media_type="application/json")
