"""Administrators look for accounts, make them, and invite people."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import httpx
from fastapi import APIRouter
from starlette.responses import Response

from services.portal.administrator import administrator
from services.portal.api import Refused
from services.portal.visit import Visit, Visiting

router = APIRouter()

_PAGE: Final = 25
_FILTERS: Final[tuple[str, ...]] = ("is_active", "is_admin", "second_factor", "group")


@router.get("/admin/accounts")
async def accounts_page(visit: Visiting) -> Response:
    """The links of pages keep what was looked for."""
    admin = await administrator(visit)
    asked = {name: value for name, value in visit.request.query_params.items() if value}
    shown = {name: asked[name] for name in ("q", *_FILTERS) if name in asked}
    try:
        answer = await visit.api.read("/users/", admin.token, **_params(asked))
    except Refused as refused:
        return visit.again("admin_accounts", refused, asked=shown, accounts=[], first=None, following=None)
    return visit.page(
        "admin_accounts",
        asked=shown,
        accounts=answer.json(),
        first=urlencode(shown) if "cursor" in asked else None,
        following=_following(answer, shown),
    )


def _params(asked: dict[str, str]) -> dict[str, str | int]:
    found: dict[str, str | int] = {name: asked[name] for name in (*_FILTERS, "cursor") if name in asked}
    if "q" in asked:
        found[_named_by(asked["q"].strip())] = asked["q"].strip()
    return {**found, "limit": _PAGE}


def _named_by(text: str) -> str:
    """The field that a search is for: an account has one address, one username and one id."""
    try:
        UUID(text)
    except ValueError:
        return "email" if "@" in text else "username"
    return "user_id"


def _following(answer: httpx.Response, shown: dict[str, str]) -> str | None:
    link = answer.links.get("next")
    if link is None:
        return None
    return urlencode(shown | {"cursor": httpx.URL(link["url"]).params["cursor"]})


@router.get("/admin/accounts/new")
async def new_account_page(visit: Visiting) -> Response:
    await (await administrator(visit)).require_strong_login(visit)
    return visit.page("admin_new", given={})


@router.post("/admin/accounts/new")
async def make_account(visit: Visiting) -> Response:
    """Its owner asks for a password as if it were forgotten."""
    admin = await administrator(visit)
    given = {**named(visit), **rights(visit), "is_2fa": "is_2fa" in visit.form}
    try:
        made = await visit.api.post("/users/", admin.token, **given)
    except Refused as refused:
        return visit.again("admin_new", refused, given=given)
    visit.say("account_made")
    return visit.to(f"/admin/accounts/{made['id']}")


@router.get("/admin/invitations")
async def invitations_page(visit: Visiting) -> Response:
    await (await administrator(visit)).require_strong_login(visit)
    return visit.page("admin_invitations", given={})


@router.post("/admin/invitations")
async def invite(visit: Visiting) -> Response:
    admin = await administrator(visit)
    given = {"email": visit.form.get("email", ""), **rights(visit)}
    try:
        await visit.api.post("/users/invitations", admin.token, **given)
    except Refused as refused:
        return visit.again("admin_invitations", refused, given=given)
    visit.say("invited")
    return visit.to("/admin/invitations")


def named(visit: Visit) -> dict[str, Any]:
    return {name: visit.form.get(name, "").strip() for name in ("name", "lastname", "email", "username")}


def rights(visit: Visit) -> dict[str, Any]:
    groups = re.findall(r"[^\s,;]+", visit.form.get("groups", ""))
    return {"groups": sorted(set(groups)), "is_admin": "is_admin" in visit.form}
