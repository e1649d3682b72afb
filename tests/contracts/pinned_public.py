"""Every event for programs around us that pinned_events.py does not have, with its JSON, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.messaging.events import Event
from shared.messaging.public_events import AccountPublic
from tests.contracts.pinned_ids import ACCOUNT, EVENT_ID, SESSION

TO_OTHERS: list[tuple[str, Event, str]] = [
    (
        "users.account_public.v1",
        AccountPublic(
            event_id=EVENT_ID,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            account_id=ACCOUNT,
            version=7,
            epoch=3,
            kept_session=SESSION,
            is_active=True,
            is_admin=False,
            deleted=False,
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","occurred_at":"2026-01-31T12:00:00.000005+00:00",'
            '"account_id":"01890a5d-ac96-774b-bcce-b302099a8059","version":7,"epoch":3,'
            '"kept_session":"01890a5d-ac96-774b-bcce-b302099a805a","is_active":true,"is_admin":false,"deleted":false}'
        ),
    ),
]
