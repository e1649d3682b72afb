"""The authenticator app: its key is shown, a code of it confirms it; and it is replaced and removed.

The key is in one answer of the API and on one page, and can not be shown again: whoever has typed a wrong code has it
in the app, or begins again with a new one.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.pages.factors import FACTORS, name_refused, owner
from services.portal.pages.recovery_codes import shown_once
from services.portal.visit import Visiting

router = APIRouter()

_APP = f"{FACTORS}/app"
_CONFIRM = f"{_APP}/{{app_id:uuid}}/confirm"


@router.get(_APP)
async def app_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("app", **own.shown)


@router.post(_APP)
async def begin_app(visit: Visiting) -> Response:
    """Answers with the page itself: a redirect could not take the key there."""
    own = await owner(visit)
    name = visit.form.get("name", "").strip()
    try:
        new = await visit.api.post("/auth/factors/totp", own.token, **({"name": name} if name else {}))
    except Refused as refused:
        return visit.again("app", name_refused(refused), **own.shown)
    picture = Markup(new["qr_svg"])  # noqa: S704 - an element that auth has drawn, without style or script
    return visit.page("app_key", new=new, secret=_in_fours(new["secret"]), picture=picture, **own.shown)


@router.get(_CONFIRM)
async def code_page(visit: Visiting, app_id: UUID) -> Response:
    own = await member(visit)
    return visit.page("app_code", app_id=app_id, account=own.account)


@router.post(_CONFIRM)
async def confirm_app(visit: Visiting, app_id: UUID) -> Response:
    own = await member(visit)
    try:
        answer = await visit.api.post(f"/auth/factors/totp/{app_id}/confirm", own.token, otp=visit.form.get("otp", ""))
    except Refused as refused:
        if refused.code == "login_too_old":  # back to the page that does not need the key again
            return visit.to("/step-up", rd=visit.request.url.path)
        if refused.code == "item_not_found":
            return visit.again("app", Refused(404, "app_not_waiting", ""), **(await owner(visit)).shown)
        if refused.code in ("otp_not_valid", "invalid_request"):
            refused = Refused(refused.status, "app_code_not_valid", "")
        return visit.again("app_code", refused, app_id=app_id, account=own.account)
    visit.say("app_added")
    return shown_once(visit, own.account, answer.get("recovery_codes"))


@router.get(f"{_APP}/remove")
async def removal_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("app_remove", **own.shown)


@router.post(f"{_APP}/remove")
async def remove_app(visit: Visiting) -> Response:
    own = await owner(visit)
    if (app := own.factors["totp"]) is not None:
        await visit.api.delete(f"/auth/factors/totp/{app['id']}", own.token)
    visit.say("app_removed")
    return visit.to(FACTORS)


def _in_fours(secret: str) -> str:
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
