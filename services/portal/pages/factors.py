"""The second factors of an account; and codes by mail, which are turned on and off here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.visit import Visit, Visiting

router = APIRouter()

FACTORS = "/account/factors"


@dataclass(frozen=True, slots=True)
class FactorOwner:
    """`shown`: what the templates want, `account` and `factors`."""

    token: str = field(repr=False)
    shown: dict[str, Any]

    @property
    def factors(self) -> Any:
        return self.shown["factors"]


async def owner(visit: Visit) -> FactorOwner:
    """Raises `LoginNeeded`, `Refused`."""
    own = await member(visit)
    found = await visit.api.get("/auth/factors", own.token)
    # Codes by mail are of users, and auth learns of a change a moment later.
    return FactorOwner(own.token, {"account": own.account, "factors": found | {"email": own.account["is_2fa"]}})


def name_refused(refused: Refused) -> Refused:
    """The refusal of a form with the name of a factor, if that can be at fault: in words of ours."""
    return Refused(422, "factor_name_not_valid", "") if refused.code == "invalid_request" else refused


@router.get(FACTORS)
async def factors_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("factors", **own.shown)


@router.get(f"{FACTORS}/mail")
async def mail_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("factors_mail", **own.shown)


@router.post(f"{FACTORS}/mail")
async def change_mail(visit: Visiting) -> Response:
    own = await owner(visit)
    on = visit.form.get("mail") == "on"
    try:
        await visit.api.patch("/users/", own.token, is_2fa=on)
    except Refused as refused:
        return visit.again("factors_mail", refused, **own.shown)
    visit.say("mail_on" if on else "mail_off")
    return visit.to(FACTORS)
