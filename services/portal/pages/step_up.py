"""Somebody who is logged in is asked again, because a page wants a newer login or a stronger one."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import under_way
from services.portal.api import Refused
from services.portal.visit import LoginNeeded, Visit, Visiting

router = APIRouter()

_CLASSES: Final = {"2": 2, "3": 3}  # as the API names them; any other is that of each login


@router.get("/step-up")
async def step_up_page(visit: Visiting) -> Response:
    """Nothing happens until its button is pressed, so no page that is never content sends a browser round and round."""
    await _token(visit)
    return visit.page("step_up", acr=_acr(visit), lacking=False)


@router.post("/step-up")
async def step_up(visit: Visiting) -> Response:
    token, acr = await _token(visit), _acr(visit)
    try:
        answer = await visit.api.post("/auth/step-up", token, acr=acr)
    except Refused as refused:
        return visit.again("step_up", refused, acr=acr, lacking=refused.code == "no_such_factor")
    under_way.begin(visit, answer["temporary_token"])
    return visit.to("/login/verify", rd=visit.target, again="1")


async def _token(visit: Visit) -> str:
    """A login is as new as a step-up: whoever has to log in goes on to the page itself. Raises `LoginNeeded`."""
    try:
        return await visit.token()
    except LoginNeeded:
        raise LoginNeeded(visit.target) from None


def _acr(visit: Visit) -> int | None:
    return _CLASSES.get(visit.request.query_params.get("acr", ""))
