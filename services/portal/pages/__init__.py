"""The pages, by subject."""

from __future__ import annotations

from services.portal.pages import (
    account,
    address,
    administration,
    assets,
    factors,
    forgotten,
    leaving,
    login,
    registration,
    second_step,
)

_SUBJECTS = (
    assets, login, second_step, forgotten, registration, account, address, leaving, factors, administration,
)  # fmt: skip
ROUTERS = tuple(each.router for each in _SUBJECTS)
