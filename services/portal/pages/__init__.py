"""The pages, by subject."""

from __future__ import annotations

from services.portal.pages import (
    account,
    administration,
    assets,
    authenticator_app,
    denied,
    factors,
    forgotten,
    leaving,
    login,
    passkeys,
    recovery_codes,
    registration,
    second_step,
    sessions,
    step_up,
)

ROUTERS = tuple(
    each.router
    for each in (
        assets,
        login,
        second_step,
        step_up,
        leaving,
        denied,
        forgotten,
        registration,
        account,
        factors,
        authenticator_app,
        passkeys,
        recovery_codes,
        sessions,
        administration,
    )
)
