"""Passkeys: added, named, removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.member import member
from services.portal.pages.factors import FACTORS, FactorOwner, owner
from services.portal.visit import Visiting

router = APIRouter()

_PASSKEYS = f"{FACTORS}/passkeys"
_ONE = f"{_PASSKEYS}/{{passkey_id:uuid}}"


@router.get(_PASSKEYS)
async def passkeys_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("passkeys", **own.shown)


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
        return visit.again("passkey", refused, passkey=_one(own, passkey_id), **own.shown)
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
