"""Every event that users consumes, with its JSON, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.messaging.address_events import AccountCodeOutcome, AddressProved
from shared.messaging.events import Event, SessionEnded
from shared.messaging.factor_events import FactorsChanged
from shared.messaging.password_events import PasswordRehashed
from tests.contracts.pinned_ids import ACCOUNT, CHALLENGE, EVENT_ID, REQUEST, SESSION

TO_USERS: list[tuple[str, Event, str]] = [
    (
        "notifier.account_code_outcome.v1",
        AccountCodeOutcome(
            event_id=EVENT_ID,
            code_id=CHALLENGE,
            outcome="given_up",
            attempt=2,
            said="550 5.1.1 No such mailbox",
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","code_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
            '"outcome":"given_up","attempt":2,"said":"550 5.1.1 No such mailbox",'
            '"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "auth.address_proved.v1",
        AddressProved(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            email="zo\u00eb@test.com",
            session_epoch=3,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"email":"zo\u00eb@test.com","session_epoch":3,"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "auth.factors_changed.v1",
        FactorsChanged(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            version=3,
            methods=("passkey", "totp", "recovery"),
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"version":3,"methods":["passkey","totp","recovery"],"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "auth.password_rehashed.v1",
        PasswordRehashed(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            replaced="00ff",
            sealed_password_hash="sealed",
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"replaced":"00ff","sealed_password_hash":"sealed","occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "auth.session_ended.v1",
        SessionEnded(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            session_ids=(SESSION, REQUEST),
            until=datetime(2026, 1, 31, 13, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"session_ids":["01890a5d-ac96-774b-bcce-b302099a805a","01890a5d-ac96-774b-bcce-b302099a805b"],'
            '"until":"2026-01-31T13:00:00.000005+00:00"}'
        ),
    ),
]
