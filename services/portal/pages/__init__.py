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

# `administration` before `administered`: /admin/accounts/new is no account.
_SUBJECTS = (
    assets, login, second_step, forgotten, registration, account, address, leaving, factors, authenticator_app,
    passkeys, recovery_codes, sessions, administration, administered, administrative_acts,
)  # fmt: skip
ROUTERS = tuple(each.router for each in _SUBJECTS)
