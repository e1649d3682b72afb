"""Administrators look at one account, change it, and end its sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.administrator import Administrator, administrator
from services.portal.api import Refused
from services.portal.pages.administration import named, rights
from services.portal.visit import Visit, Visiting

router = APIRouter()

_TAG: Final = re.compile(r'"[0-9.]{1,40}"')


@router.get("/admin/accounts/{account}")
async def account_page(visit: Visiting, account: UUID) -> Response:
    return visit.page("admin_account", **await _shown(visit, await administrator(visit), account))


@router.post("/admin/accounts/{account}")
async def change_account(visit: Visiting, account: UUID) -> Response:
    """Of one's own account neither the rights nor whether it may log in: nobody locks themselves out here."""
    admin = await administrator(visit)
    given = _given(visit, is_own=str(account) == admin.id)
    before = await visit.api.get(f"/users/{account}", admin.token)
    changes = {name: value for name, value in given.items() if value != before[name]}
    try:
        changed = await visit.api.patch(f"/users/{account}", admin.token, etag=etag(visit), **changes)
    except Refused as refused:
        return await _again(visit, admin, account, refused, changes)
    visit.say(
        "account_address_pending" if changed["email"] != changes.get("email", changed["email"]) else "account_changed"
    )
    return visit.to(f"/admin/accounts/{account}")


@router.post("/admin/accounts/{account}/sessions/{session}")
async def end_session(visit: Visiting, account: UUID, session: UUID) -> Response:
    admin = await administrator(visit)
    await visit.api.delete(f"/auth/accounts/{account}/sessions/{session}", admin.token)
    visit.say("account_session_ended")
    return visit.to(f"/admin/accounts/{account}")


def etag(visit: Visit) -> str:
    """The version of the account that the form was made from; one that no account has, if it is missing."""
    given = visit.form.get("etag", "")
    return given if _TAG.fullmatch(given) else '"none"'


def _given(visit: Visit, *, is_own: bool) -> dict[str, Any]:
    given = {**named(visit), "is_2fa": "is_2fa" in visit.form}
    return given if is_own else {**given, **rights(visit), "is_active": "is_active" in visit.form}


async def _again(
    visit: Visit, admin: Administrator, account: UUID, refused: Refused, changes: Mapping[str, Any]
) -> Response:
    """With what was typed, unless somebody else has changed the account: then as it is now."""
    shown = await _shown(visit, admin, account)
    if refused.code == "second_factor_required" and changes.get("is_2fa") is False:
        # The sessions were shown, so this session is strong enough: it is the account that must keep its factor.
        refused = Refused(refused.status, "second_factor_stays", refused.detail)
    if refused.code != "version_differs":
        shown["given"] = {**shown["given"], **changes}
        shown["etag"] = etag(visit)
    return visit.again("admin_account", refused, **shown)


async def _shown(visit: Visit, admin: Administrator, account: UUID) -> dict[str, Any]:
    """`sessions`: None if the login is too old to see them, or to change anything."""
    answer = await visit.api.read(f"/users/{account}", admin.token)
    try:
        sessions = await visit.api.get(f"/auth/accounts/{account}/sessions", admin.token)
    except Refused as refused:
        if refused.code != "login_too_old":
            raise
        sessions = None
    found = answer.json()
    return {
        "account": found,
        "given": found,
        "etag": answer.headers["etag"],
        "sessions": sessions,
        "is_own": found["id"] == admin.id,
    }
