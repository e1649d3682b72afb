"""Administrators look for accounts, make them, and invite people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import httpx
from fastapi import APIRouter
from starlette.responses import Response

from services.portal.administrator import administrator, administrator_with_recent_login
from services.portal.api import Refused
from services.portal.visit import Visit, Visiting
from services.portal.wrong_fields import beside

router = APIRouter()

ACCOUNTS: Final = "/admin/accounts"
_NEW: Final = "/admin/accounts/new"
_INVITATIONS: Final = "/admin/invitations"

_PAGE: Final = 25
_FILTERS: Final[tuple[str, ...]] = ("is_active", "is_admin", "second_factor", "group")


@router.get(ACCOUNTS)
async def accounts_page(visit: Visiting) -> Response:
    """The links to other pages keep what was looked for."""
    own = await administrator(visit)
    given = {name: value for name, value in visit.request.query_params.items() if value}
    asked = {name: given[name] for name in ("q", *_FILTERS) if name in given}
    try:
        answer = await visit.api.read("/users/", own.token, **_params(given))
    except Refused as refused:
        refused = beside(visit, refused, email="q", username="q")
        return visit.again("admin_accounts", refused, account=own.account, asked=asked, found=[], pages={})
    first = {"first": urlencode(asked)} if "cursor" in given else {}
    pages = first | _following(answer, asked)
    return visit.page("admin_accounts", account=own.account, asked=asked, found=answer.json(), pages=pages)


def _params(given: Mapping[str, str]) -> dict[str, str | int]:
    found: dict[str, str | int] = {name: given[name] for name in (*_FILTERS, "cursor") if name in given}
    if "q" in given:
        found[_named_by(given["q"].strip())] = given["q"].strip()
    return {**found, "limit": _PAGE}


def _named_by(text: str) -> str:
    """The parameter that `text` is for: each account has one address, one username and one id."""
    try:
        UUID(text)
    except ValueError:
        return "email" if "@" in text else "username"
    return "user_id"


def _following(answer: httpx.Response, asked: Mapping[str, str]) -> dict[str, str]:
    link = answer.links.get("next")
    return {"next": urlencode({**asked, "cursor": httpx.URL(link["url"]).params["cursor"]})} if link else {}


@router.get(_NEW)
async def new_account_page(visit: Visiting) -> Response:
    own = await administrator_with_recent_login(visit)
    return visit.page("admin_new", account=own.account, given={})


@router.post(_NEW)
async def make_account(visit: Visiting) -> Response:
    """Its owner asks for a password as if it were forgotten."""
    own = await administrator(visit)
    given = {**profile(visit), **rights(visit), "is_2fa": "is_2fa" in visit.form}
    try:
        made = await visit.api.post("/users/", own.token, **given)
    except Refused as refused:
        return visit.again("admin_new", beside(visit, refused), account=own.account, given=given)
    visit.say("account_made")
    return visit.to(f"{ACCOUNTS}/{made['id']}")


@router.get(_INVITATIONS)
async def invitations_page(visit: Visiting) -> Response:
    own = await administrator_with_recent_login(visit)
    return visit.page("admin_invitations", account=own.account, given={})


@router.post(_INVITATIONS)
async def invite(visit: Visiting) -> Response:
    own = await administrator(visit)
    given = {"email": visit.form.get("email", "").strip(), **rights(visit)}
    try:
        await visit.api.post("/users/invitations", own.token, **given)
    except Refused as refused:
        return visit.again("admin_invitations", beside(visit, refused), account=own.account, given=given)
    visit.say("invited")
    return visit.to(_INVITATIONS)


def profile(visit: Visit) -> dict[str, Any]:
    return {name: visit.form.get(name, "").strip() for name in ("name", "lastname", "email", "username")}


def rights(visit: Visit) -> dict[str, Any]:
    groups = re.findall(r"[^\s,;]+", visit.form.get("groups", ""))
    return {"groups": sorted(set(groups)), "is_admin": "is_admin" in visit.form}
