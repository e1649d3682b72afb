"""The pages, by subject."""

from __future__ import annotations

from services.portal.pages import (
    account,
    address,
    administered,
    administration,
    administrative_acts,
    assets,
    authenticator_app,
    deleting,
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
        leaving,
        second_step,
        step_up,
        denied,
        forgotten,
        registration,
        account,
        address,
        deleting,
        factors,
        authenticator_app,
        passkeys,
        recovery_codes,
        sessions,
        administration,
        administered,
        administrative_acts,
    )
)
