"""`POST /auth/verify-token`: a service asks whether an access token is valid now."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from services.auth.api.guards import Current
from services.auth.api.schemas import TokenIsGood
from shared.web.lean_route import LeanRoute

_YES: Final = Response(TokenIsGood().model_dump_json(), media_type="application/json")

router = APIRouter(prefix="/api/v1/auth", route_class=LeanRoute)


@router.post("/verify-token", response_model=TokenIsGood, summary="Is this access token good at this moment?")
async def verify_token(_current: Current) -> Response:
    return _YES
