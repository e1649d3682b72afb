"""Passkeys: added (with `static/passkeys.js`), named, removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.pages.factors import FACTORS, FactorOwner, name_refused, owner
from services.portal.pages.recovery_codes import shown_once
from services.portal.passkey_answers import answered
from services.portal.visit import Visiting

router = APIRouter()

_PASSKEYS = f"{FACTORS}/passkeys"
_ONE = f"{_PASSKEYS}/{{passkey_id:uuid}}"


@router.get(_PASSKEYS)
async def passkeys_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("passkeys", **own.shown)


@router.get(f"{_PASSKEYS}/new")
async def new_page(visit: Visiting) -> Response:
    own = await member(visit)
    return visit.page("passkey_new", account=own.account)


@router.post(f"{_PASSKEYS}/options")
async def passkey_options(visit: Visiting) -> Response:
    return visit.data(await visit.api.post("/auth/factors/passkeys/options", await visit.token()))


@router.post(f"{_PASSKEYS}/new")
async def add_passkey(visit: Visiting) -> Response:
    own = await member(visit)
    name = visit.form.get("name", "").strip()
    try:
        sent = answered(visit.form) | ({"name": name} if name else {})
        added = await visit.api.post("/auth/factors/passkeys", own.token, **sent)
    except Refused as refused:
        return visit.again("passkey_new", name_refused(refused), account=own.account)
    visit.say("passkey_added")
    return shown_once(visit, own.account, added.get("recovery_codes"))


@router.get(_ONE)
async def passkey_page(visit: Visiting, passkey_id: UUID) -> Response:
    own = await owner(visit)
    return visit.page("passkey", passkey=_one(own, passkey_id), **own.shown)


@router.post(_ONE)
async def rename_passkey(visit: Visiting, passkey_id: UUID) -> Response:
    own = await owner(visit)
    try:
        await visit.api.patch(f"/auth/factors/passkeys/{passkey_id}", own.token, name=visit.form.get("name", ""))
    except Refused as refused:
        return visit.again("passkey", name_refused(refused), passkey=_one(own, passkey_id), **own.shown)
    visit.say("passkey_renamed")
    return visit.to(_PASSKEYS)


@router.get(f"{_ONE}/remove")
async def removal_page(visit: Visiting, passkey_id: UUID) -> Response:
    own = await owner(visit)
    return visit.page("passkey_remove", passkey=_one(own, passkey_id), **own.shown)


@router.post(f"{_ONE}/remove")
async def remove_passkey(visit: Visiting, passkey_id: UUID) -> Response:
    own = await member(visit)
    await visit.api.delete(f"/auth/factors/passkeys/{passkey_id}", own.token)
    visit.say("passkey_removed")
    return visit.to(_PASSKEYS)


def _one(own: FactorOwner, passkey_id: UUID) -> Any:
    """Raises `Refused`."""
    for passkey in own.factors["passkeys"]:
        if passkey["id"] == str(passkey_id):
            return passkey
    raise Refused(404, "item_not_found", "")
