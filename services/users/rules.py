"""Permission rules, checked when a request comes in and again under the lock (writes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.users.callers import Caller, Users
from services.users.guesses import NAMES
from services.users.problems import NothingToChange
from services.users.writes import Rule
from shared.names import canonical

_NAMES = ("email", "username")
_BY_ADMIN_ONLY = {"is_admin", "is_active"}
_NEEDS_RECENT_LOGIN = {"email", "username", "is_2fa"} | _BY_ADMIN_ONLY  # own account; other accounts: all changes


def may_change(target: UUID, changes: Mapping[str, Any]) -> Rule:
    def rule(caller: Caller) -> None:
        caller.require_admin_of(target)
        if not changes:
            raise NothingToChange
        if _BY_ADMIN_ONLY & changes.keys():
            caller.require_admin()
        if target != caller.token.account or _NEEDS_RECENT_LOGIN & changes.keys():
            caller.require_recent_login()

    return rule


def may_delete(target: UUID) -> Rule:
    def rule(caller: Caller) -> None:
        caller.require_admin_of(target)
        caller.require_recent_login()

    return rule


async def limit_names(users: Users, known: Caller, changes: Mapping[str, Any]) -> None:
    """Each answer reveals whether a name is taken; administrators can list them anyway. Raises `TooManyNames`."""
    own = known.account
    asks = any(name in changes and canonical(changes[name]) != getattr(own, f"{name}_key") for name in _NAMES)
    if asks and not own.is_admin:
        await NAMES.count(users.database, own.id, limit=users.settings.name_guesses)
