"""Style, scripts and logo; and the first page."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from services.portal.visit import HOME, Visiting

router = APIRouter()


@router.get("/assets/{name}")
async def asset(visit: Visiting, name: str) -> Response:
    found = visit.portal.pages.assets.get(name)
    if found is None:
        raise HTTPException(404)
    return found.response()


@router.get("/")
async def first_page(visit: Visiting) -> Response:
    return visit.to(HOME)
