"""The pages, by subject."""

from __future__ import annotations

from services.portal.pages import (
    account,
    administered,
    administration,
    administrative_acts,
    assets,
    factors,
    forgotten,
    login,
    registration,
    second_step,
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
        factors,
        administration,  # before `administered`: /admin/accounts/new is no account
        administered,
        administrative_acts,
    )
)
