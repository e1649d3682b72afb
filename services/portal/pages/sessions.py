"""Where the account is logged in, and the devices that need no second factor: listed, and ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal import cookies
from services.portal.api import Refused
from services.portal.member import member
from services.portal.user_agents import browser_and_system, cut
from services.portal.visit import Visit, Visiting

router = APIRouter()

_SESSIONS = "/account/sessions"
_DEVICES = "/account/devices"


@router.get(_SESSIONS)
async def sessions_page(visit: Visiting) -> Response:
    own = await member(visit)
    sessions = await visit.api.get("/auth/sessions", own.token)
    return visit.page("sessions", account=own.account, sessions=named(visit, sessions))


@router.post(_SESSIONS)
async def end_others(visit: Visiting) -> Response:
    """Ends all that the list has but this one."""
    token = await visit.token()
    for each in await visit.api.get("/auth/sessions", token):
        if not each["current"]:
            await _delete(visit, f"/auth/sessions/{each['id']}", token)
    visit.say("others_ended")
    return visit.to(_SESSIONS)


@router.post(f"{_SESSIONS}/everywhere")
async def end_everywhere(visit: Visiting) -> Response:
    await visit.api.ask("POST", "/auth/logout", await visit.token(), params={"all": True})
    visit.end_session()
    visit.say("logged_out")
    return visit.to("/login")


@router.post(f"{_SESSIONS}/{{session_id:uuid}}")
async def end_session(visit: Visiting, session_id: UUID) -> Response:
    await _delete(visit, f"/auth/sessions/{session_id}", await visit.token())
    visit.say("session_ended")
    return visit.to(_SESSIONS)


@router.get(_DEVICES)
async def devices_page(visit: Visiting) -> Response:
    own = await member(visit)
    devices = await visit.api.get("/auth/devices", own.token)
    return visit.page("devices", account=own.account, devices=named(visit, devices))


@router.post(_DEVICES)
async def forget_devices(visit: Visiting) -> Response:
    await visit.api.delete("/auth/devices", await visit.token())
    visit.forget(cookies.DEVICE)
    visit.say("devices_forgotten")
    return visit.to(_DEVICES)


@router.post(f"{_DEVICES}/{{device_id:uuid}}")
async def forget_device(visit: Visiting, device_id: UUID) -> Response:
    await _delete(visit, f"/auth/devices/{device_id}", await visit.token())
    visit.say("device_forgotten")
    return visit.to(_DEVICES)


async def _delete(visit: Visit, path: str, token: str) -> None:
    """No failure if it has ended meanwhile."""
    try:
        await visit.api.delete(path, token)
    except Refused as refused:
        if refused.code != "item_not_found":
            raise


def named(visit: Visit, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sessions or devices: each with its `program`, as "Firefox on Linux"."""
    return [row | {"program": _program(visit, row["user_agent"])} for row in rows]


def _program(visit: Visit, user_agent: str | None) -> str:
    if user_agent is None:
        return visit.portal.pages.text(visit.language, "sessions.unknown")
    if (known := browser_and_system(user_agent)) is None:
        return cut(user_agent)
    browser, system = known
    return visit.portal.pages.text(visit.language, "sessions.program", browser=browser, system=system)
