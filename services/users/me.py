"""The caller's own account: what an application asks for whenever it is opened."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.types import Scope

from services.users.accounts import etag
from services.users.callers import Caller, KnownCaller, caller
from services.users.schemas import AccountOut
from shared.web.bearer import bearer_token
from shared.web.guarded_route import GuardedRoute, Yes


class KnownRoute(GuardedRoute):
    async def who_asks(self, scope: Scope) -> Caller:
        return await caller(scope["app"].state.users, bearer_token(scope))


router = APIRouter(prefix="/api/v1/users", route_class=KnownRoute)


@router.get("/me", response_model=AccountOut, summary="The caller's own account")
async def me(known: KnownCaller) -> Yes:
    body = AccountOut.model_validate(known.account, from_attributes=True).model_dump_json().encode()
    headers = [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
        (b"etag", etag(known.account).encode()),
    ]
    return Yes(200, headers, body)
