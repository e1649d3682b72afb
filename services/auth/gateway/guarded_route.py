"""The two checks that come with every request of somebody else's API are asked by a living session."""

from __future__ import annotations

from starlette.types import Scope

from services.auth.api.routes import Caller, living_session
from shared.web.bearer import bearer_token
from shared.web.guarded_route import GuardedRoute


class LivingRoute(GuardedRoute):
    async def who_asks(self, scope: Scope) -> Caller:
        return await living_session(scope["app"].state.auth, bearer_token(scope))
