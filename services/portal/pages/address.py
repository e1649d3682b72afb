"""One's address: prove it with a mailed code, change it, or keep the one before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import Member, member
from services.portal.visit import HOME, Visit, Visiting
from services.portal.wrong_fields import beside

router = APIRouter()

_PATH = "/account/address"


@router.get(_PATH)
async def address_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("address", **await _shown(visit, own))


@router.post(_PATH)
async def change_address(visit: Visiting) -> Response:
    act = _ACTS.get(visit.form.get("act", ""))
    if act is None:
        raise HTTPException(404)
    own = await member(visit)
    try:
        return await act(visit, own)
    except Refused as refused:
        return visit.again("address", beside(visit, refused), **await _shown(visit, own))


async def _shown(visit: Visit, own: Member) -> dict[str, Any]:
    """`proof`: how the code for an address gets on; None if there is nothing to prove."""
    account = own.account
    verification = (await visit.api.get("/users/registration"))["email_verification"]
    is_open = account["pending_email"] is not None or account["email_verified_at"] is None
    proof = await visit.api.get("/users/verify-email", own.token) if is_open and verification != "off" else None
    return {"account": account, "proof": proof, "verification": verification, "given": visit.form}


async def _change(visit: Visit, own: Member) -> Response:
    """Where addresses are proved the new one is pending; else it counts at once."""
    changed = await visit.api.patch("/users/", own.token, email=visit.form.get("email", ""))
    if changed["pending_email"] is not None:
        visit.say("address_pending")
        return visit.to(_PATH, rd=visit.target)
    visit.say("address_changed")
    return visit.to(HOME)


async def _prove(visit: Visit, own: Member) -> Response:
    await visit.api.post("/users/verify-email", own.token, code=visit.form.get("code", ""))
    visit.say("address_proved")
    return visit.onward()


async def _send(visit: Visit, own: Member) -> Response:
    await visit.api.post("/users/verify-email/send", own.token)
    visit.say("code_sent")
    return visit.to(_PATH, rd=visit.target)


async def _keep(visit: Visit, own: Member) -> Response:
    await visit.api.delete("/users/pending-email", own.token)
    visit.say("address_kept")
    return visit.to(HOME)


_ACTS: dict[str, Callable[[Visit, Member], Awaitable[Response]]] = {
    "change": _change,
    "prove": _prove,
    "send": _send,
    "keep": _keep,
}
