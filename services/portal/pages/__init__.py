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
        assets,
        login,
        second_step,
        forgotten,
        registration,
        account,
        address,
        leaving,
        factors,
        authenticator_app,
        passkeys,
        recovery_codes,
        sessions,
        administration,  # before `administered`: /admin/accounts/new is no account
        administered,
        administrative_acts,
    )
)
