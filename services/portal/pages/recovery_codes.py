"""Recovery codes: how many are left, and new ones, which one page shows once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.portal.api import Refused
from services.portal.pages.factors import FACTORS, owner
from services.portal.visit import Visit, Visiting

router = APIRouter()

_CODES = f"{FACTORS}/codes"


@router.get(_CODES)
async def recovery_page(visit: Visiting) -> Response:
    own = await owner(visit)
    return visit.page("recovery", **own.shown)


@router.post(_CODES)
async def make_codes(visit: Visiting) -> Response:
    own = await owner(visit)
    try:
        made = await visit.api.post("/auth/factors/recovery-codes", own.token)
    except Refused as refused:
        return visit.again("recovery", refused, **own.shown)
    return shown_once(visit, own.shown["account"], made["codes"])


def shown_once(visit: Visit, account: Any, codes: Sequence[str] | None) -> Response:
    """The page of new codes, which a redirect could not take along; without any, back to the factors."""
    return visit.page("codes", account=account, codes=codes) if codes else visit.to(FACTORS)
