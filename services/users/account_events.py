"""What the other services, and programs around us, are told of an account: two events for each change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from shared.messaging.events import AccountChanged, Event
from shared.messaging.public_events import AccountPublic
from shared.sealing import Sealer


def changed(row: Row[Any], incarnation: int, sealer: Sealer) -> tuple[Event, Event]:
    event = AccountChanged(
        account_id=row.id,
        incarnation=incarnation,
        version=row.version,
        deleted=False,
        username=row.username,
        email=row.email,
        is_2fa=row.is_2fa,
        is_admin=row.is_admin,
        is_active=row.is_active,
        email_verified=row.email_verified_at is not None,
        groups=tuple(row.groups),
        password_by_mail=row.password_by_mail,
        session_epoch=row.session_epoch,
        kept_session=row.kept_session,
    )
    sealed = sealer.seal(row.password_hash, event.hash_context)
    return event.model_copy(update={"sealed_password_hash": sealed}), _public(event)


def deleted(account: UUID, incarnation: int, version: int) -> tuple[Event, Event]:
    event = AccountChanged(account_id=account, incarnation=incarnation, version=version, deleted=True)
    return event, _public(event)


def _public(event: AccountChanged) -> AccountPublic:
    return AccountPublic(
        occurred_at=datetime.now(UTC),
        account_id=event.account_id,
        version=event.version,
        epoch=event.session_epoch,
        kept_session=event.kept_session,
        is_active=event.is_active,
        is_admin=event.is_admin,
        deleted=event.deleted,
    )
