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
    factors,
    forgotten,
    leaving,
    login,
    passkeys,
    recovery_codes,
    registration,
    second_step,
    sessions,
)

ROUTERS = tuple(
    each.router
    for each in (
        account,
        address,
        administered,
        administration,
        administrative_acts,
        assets,
        authenticator_app,
        factors,
        forgotten,
        leaving,
        login,
        passkeys,
        recovery_codes,
        registration,
        second_step,
        sessions,
    )
)
