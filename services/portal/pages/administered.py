"""Administrators look at one account, change it, and end its sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.administrator import administrator
from services.portal.api import Refused
from services.portal.member import Member
from services.portal.pages.administration import ACCOUNTS, profile, rights
from services.portal.pages.sessions import named
from services.portal.visit import Visit, Visiting
from services.portal.wrong_fields import beside

router = APIRouter()

ACCOUNT: Final = f"{ACCOUNTS}/{{account:uuid}}"
_TAG: Final = re.compile(r'"[0-9.]{1,40}"')


@router.get(ACCOUNT)
async def account_page(visit: Visiting, account: UUID) -> Response:
    return visit.page("admin_account", **await _shown(visit, await administrator(visit), account))


@router.post(ACCOUNT)
async def change_account(visit: Visiting, account: UUID) -> Response:
    own = await administrator(visit)
    given = _given(visit, is_own=str(account) == own.account["id"])
    before = await visit.api.get(f"/users/{account}", own.token)
    changes = {name: value for name, value in given.items() if value != before[name]}
    try:
        changed = await visit.api.patch(f"/users/{account}", own.token, etag=etag(visit), **changes)
    except Refused as refused:
        return await _again(visit, own, account, refused, changes)
    is_pending = changed["pending_email"] != before["pending_email"]
    visit.say("address_pending" if is_pending else "account_changed")
    return visit.to(f"{ACCOUNTS}/{account}")


@router.post(f"{ACCOUNT}/sessions/{{session:uuid}}")
async def end_session(visit: Visiting, account: UUID, session: UUID) -> Response:
    """One that has ended meanwhile is no failure."""
    own = await administrator(visit)
    try:
        await visit.api.delete(f"/auth/accounts/{account}/sessions/{session}", own.token)
    except Refused as refused:
        if refused.code != "item_not_found":
            raise
    visit.say("account_session_ended")
    return visit.to(f"{ACCOUNTS}/{account}")


def etag(visit: Visit) -> str:
    """The version of the account that the form was made from; if it is missing, one that no account has."""
    given = visit.form.get("etag", "")
    return given if _TAG.fullmatch(given) else '"none"'


def _given(visit: Visit, *, is_own: bool) -> dict[str, Any]:
    """Without rights and permission to log in if the account is one's own: here nobody locks themselves out."""
    given = {**profile(visit), "is_2fa": "is_2fa" in visit.form}
    return given if is_own else {**given, **rights(visit), "is_active": "is_active" in visit.form}


async def _again(visit: Visit, own: Member, account: UUID, refused: Refused, changes: Mapping[str, Any]) -> Response:
    """With what was typed; but if somebody else has changed the account, as it is now."""
    shown = await _shown(visit, own, account)
    if refused.code != "version_differs":
        shown |= {"given": {**shown["person"], **changes}, "etag": etag(visit)}
    return visit.again("admin_account", beside(visit, refused), **shown)


async def _shown(visit: Visit, own: Member, account: UUID) -> dict[str, Any]:
    """`sessions`: None if the login is too old to see them, or to change anything."""
    answer = await visit.api.read(f"/users/{account}", own.token)
    sessions = None
    try:
        sessions = named(visit, await visit.api.get(f"/auth/accounts/{account}/sessions", own.token))
    except Refused as refused:
        if refused.code != "login_too_old":
            raise
    person = answer.json()
    return {
        "account": own.account,
        "person": person,
        "given": person,
        "etag": answer.headers["etag"],
        "sessions": sessions,
        "is_own": person["id"] == own.account["id"],
    }
