"""A login or a step-up is complete: the browser gets its cookies and goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from services.portal import cookies
from services.portal.api import Refused
from services.portal.visit import LoginNeeded, Visit


async def complete(visit: Visit, pair: Mapping[str, Any], *, keep: bool | None) -> Response:
    """`pair`: the answer of the API. `keep`: me logged in; None: no wish, or as before a step-up."""
    await visit.begin_session(pair["refresh_token"], keep=keep)
    await _end_former(visit)
    visit.forget(cookies.LOGIN)
    visit.forget(cookies.SENT_ON)
    if pair.get("device_token"):
        visit.keep(cookies.DEVICE, pair["device_token"])
    left = pair.get("recovery_codes_left")
    if left is not None:
        visit.say("recovery_code_used", left)
    return visit.onward()


async def _end_former(visit: Visit) -> None:
    """The browser had another session, whose cookie is now lost (ASVS 7.2.4). After a step-up that cookie is dead."""
    try:
        await visit.api.post("/auth/logout", await visit.token())
    except (LoginNeeded, Refused):
        return
