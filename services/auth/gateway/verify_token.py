"""A service that has a token in its hands asks whether it is good at this moment."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from services.auth.api.guards import Current
from services.auth.api.schemas import TokenIsGood
from services.auth.gateway.guarded_route import ActiveSessionRoute
from shared.web.guarded_route import Yes

_BODY: Final = TokenIsGood().model_dump_json().encode()
_YES: Final = Yes(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))], _BODY)

router = APIRouter(prefix="/api/v1/auth", route_class=ActiveSessionRoute)


@router.post("/verify-token", response_model=TokenIsGood, summary="Is this access token good at this moment?")
async def verify_token(_current: Current) -> Yes:
    return _YES
