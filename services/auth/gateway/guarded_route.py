"""The guard of the two checks that come with every request of somebody else's API: an active session."""

from __future__ import annotations

from starlette.types import Scope

from services.auth.api.guards import CurrentSession, current_session
from shared.web.bearer import bearer_token
from shared.web.guarded_route import GuardedRoute


class ActiveSessionRoute(GuardedRoute):
    async def who_asks(self, scope: Scope) -> CurrentSession:
        return await current_session(scope["app"].state.auth, bearer_token(scope))
