"""Rows that auth no longer needs; shared.database.expiry deletes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, func

from services.auth import tables
from services.auth.accounts.notices import BUDGET
from services.auth.factors.notifiers import REMEMBERED
from services.auth.factors.totp import ENROLMENT
from shared.database.expiry import Expired

# The hourly caps count wrong passwords and all challenges of the last hour, used and expired ones too.
_COUNTED = timedelta(hours=1)
_FORGIVEN = timedelta(days=1)


def expired(familiar_address_lifetime: float) -> Expired:
    return (
        _older(tables.challenges.c.expires_at, _COUNTED),
        # A used token stays until it expires, so that its reuse is detected.
        _older(tables.refresh_tokens.c.expires_at),
        _older(tables.sessions.c.expires_at),
        _older(tables.login_failures.c.last_at, _FORGIVEN),
        _older(tables.name_failures.c.last_at, _COUNTED),
        _older(tables.address_failures.c.last_at, _COUNTED),
        _older(tables.notifiers.c.heard_at, REMEMBERED),
        _older(tables.familiar_addresses.c.last_at, timedelta(seconds=familiar_address_lifetime)),
        _older(tables.used_ceremonies.c.expires_at, _COUNTED),
        _older(tables.trusted_devices.c.expires_at),
        _unconfirmed(tables.totp),
        *BUDGET.expired,
    )


def _unconfirmed(apps: Table) -> tuple[Table, ColumnElement[bool]]:
    """Their secrets are of no use, and somebody may have seen them."""
    too_old = apps.c.created_at < func.now() - timedelta(seconds=ENROLMENT)
    return apps, and_(apps.c.confirmed_at.is_(None), too_old)


def _older(moment: Column[Any], age: timedelta = timedelta()) -> tuple[Table, ColumnElement[bool]]:
    return moment.table, moment < func.now() - age
