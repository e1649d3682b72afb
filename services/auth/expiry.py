"""Rows that auth no longer needs; shared.database.expiry deletes them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func

from services.auth.accounts.notices import BUDGET
from services.auth.factors.notifiers import REMEMBERED
from services.auth.tables import (
    address_failures,
    challenges,
    familiar_addresses,
    login_failures,
    name_failures,
    notifiers,
    refresh_tokens,
    sessions,
)
from shared.database.expiry import Expired

# The hourly caps count wrong passwords and all challenges of the last hour, used and expired ones too.
_COUNTED = timedelta(hours=1)
_FORGIVEN = timedelta(days=1)


def expired(familiar_address_lifetime: float) -> Expired:
    familiar = timedelta(seconds=familiar_address_lifetime)
    return (
        (challenges, challenges.c.expires_at < func.now() - _COUNTED),
        # A used token stays until it expires, so that its reuse is detected.
        (refresh_tokens, refresh_tokens.c.expires_at < func.now()),
        (sessions, sessions.c.expires_at < func.now()),
        (login_failures, login_failures.c.last_at < func.now() - _FORGIVEN),
        (name_failures, name_failures.c.last_at < func.now() - _COUNTED),
        (address_failures, address_failures.c.last_at < func.now() - _COUNTED),
        (notifiers, notifiers.c.heard_at < func.now() - REMEMBERED),
        (familiar_addresses, familiar_addresses.c.last_at < func.now() - familiar),
        *BUDGET.expired,
    )
