"""The caller's own account; applications ask for it whenever they are opened."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.users.accounts import etag
from services.users.callers import KnownCaller
from services.users.schemas import AccountOut
from shared.web.lean_route import LeanRoute

router = APIRouter(prefix="/api/v1/users", route_class=LeanRoute)


@router.get("/me", response_model=AccountOut, summary="The caller's own account")
async def me(known: KnownCaller) -> Response:
    body = AccountOut.model_validate(known.account, from_attributes=True).model_dump_json()
    return Response(body, media_type="application/json", headers={"ETag": etag(known.account)})
