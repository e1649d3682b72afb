"""Every event with its JSON, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.messaging.address_events import CodeRequested
from shared.messaging.audit_events import AuthAudited, UsersAudited
from shared.messaging.events import AccountChanged, Event, InStep, NotifierHeartbeat, OtpOutcome, OtpRequested
from shared.messaging.notice_events import AuthNoticeRequested, UsersNoticeRequested
from tests.contracts.pinned_ids import ACCOUNT, CHALLENGE, EVENT_ID, REQUEST, SESSION
from tests.contracts.pinned_public import TO_OTHERS
from tests.contracts.pinned_to_users import TO_USERS

PINNED: list[tuple[str, Event, str]] = [
    (
        "auth.otp_requested.v1",
        OtpRequested(
            event_id=EVENT_ID,
            challenge_id=CHALLENGE,
            account_id=ACCOUNT,
            email="zo\u00eb@test.com",
            sealed_code="gAAAAABsealed==",
            requested_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            expires_at=datetime(2026, 1, 31, 12, 4, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","challenge_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
            '"account_id":"01890a5d-ac96-774b-bcce-b302099a8059","email":"zo\u00eb@test.com",'
            '"sealed_code":"gAAAAABsealed==",'
            '"requested_at":"2026-01-31T12:00:00.000005+00:00","expires_at":"2026-01-31T12:04:00.000000+00:00"}'
        ),
    ),
    (
        "users.account_changed.v1",
        AccountChanged(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            incarnation=1767225600,
            version=7,
            deleted=False,
            username="dv.gahan@test.com",
            email="dv.gahan@test.com",
            sealed_password_hash="gAAAAABsealed==",
            is_2fa=True,
            is_admin=True,
            is_active=True,
            email_verified=True,
            groups=("staff", "on-call"),
            password_by_mail=True,
            session_epoch=3,
            kept_session=SESSION,
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"incarnation":1767225600,"version":7,"deleted":false,"username":"dv.gahan@test.com","email":"dv.gahan@test.com",'
            '"sealed_password_hash":"gAAAAABsealed==","is_2fa":true,"is_admin":true,"is_active":true,'
            '"email_verified":true,"groups":["staff","on-call"],"password_by_mail":true,"session_epoch":3,'
            '"kept_session":"01890a5d-ac96-774b-bcce-b302099a805a"}'
        ),
    ),
    (
        "users.account_changed.v1",
        AccountChanged(event_id=EVENT_ID, account_id=ACCOUNT, incarnation=1, version=8, deleted=True),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"incarnation":1,"version":8,"deleted":true,"username":"","email":"","sealed_password_hash":"","is_2fa":false,'
            '"is_admin":false,"is_active":false,"email_verified":false,"groups":[],"password_by_mail":false,'
            '"session_epoch":0,"kept_session":null}'
        ),
    ),
    (
        "users.in_step.v1",
        InStep(
            event_id=EVENT_ID,
            moment=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            incarnation=1,
            administrators=((ACCOUNT, 7),),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","moment":"2026-01-31T12:00:00.000005+00:00",'
            '"incarnation":1,"administrators":[["01890a5d-ac96-774b-bcce-b302099a8059",7]]}'
        ),
    ),
    (
        "notifier.otp_outcome.v1",
        OtpOutcome(
            event_id=EVENT_ID,
            challenge_id=CHALLENGE,
            request_event_id=REQUEST,
            outcome="given_up",
            attempt=2,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","challenge_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
            '"request_event_id":"01890a5d-ac96-774b-bcce-b302099a805b","outcome":"given_up","attempt":2,'
            '"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "users.code_requested.v1",
        CodeRequested(
            event_id=EVENT_ID,
            code_id=CHALLENGE,
            account_id=ACCOUNT,
            email="zo\u00eb@test.com",
            purpose="reset",
            sealed_code="gAAAAABsealed==",
            requested_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            expires_at=datetime(2026, 1, 31, 12, 10, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","code_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
            '"account_id":"01890a5d-ac96-774b-bcce-b302099a8059","email":"zo\u00eb@test.com","purpose":"reset",'
            '"sealed_code":"gAAAAABsealed==",'
            '"requested_at":"2026-01-31T12:00:00.000005+00:00","expires_at":"2026-01-31T12:10:00.000000+00:00"}'
        ),
    ),
    (
        "users.code_requested.v1",
        CodeRequested(
            event_id=EVENT_ID,
            code_id=CHALLENGE,
            account_id=None,
            email="zo\u00eb@test.com",
            purpose="invite",
            sealed_code="gAAAAABsealed==",
            requested_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            expires_at=datetime(2026, 2, 3, 12, 0, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","code_id":"01890a5d-ac96-774b-bcce-b302099a8058",'
            '"account_id":null,"email":"zo\u00eb@test.com","purpose":"invite","sealed_code":"gAAAAABsealed==",'
            '"requested_at":"2026-01-31T12:00:00.000005+00:00","expires_at":"2026-02-03T12:00:00.000000+00:00"}'
        ),
    ),
    (
        "auth.notice_requested.v1",
        AuthNoticeRequested(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            email="dv.gahan@test.com",
            name="Dave",
            notice="recovery_code_used",
            recovery_codes_left=7,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            expires_at=datetime(2026, 2, 1, 12, 0, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"email":"dv.gahan@test.com","notice":"recovery_code_used",'
            '"occurred_at":"2026-01-31T12:00:00.000005+00:00","expires_at":"2026-02-01T12:00:00.000000+00:00",'
            '"recovery_codes_left":7}'
        ),
    ),
    (
        "users.notice_requested.v1",
        UsersNoticeRequested(
            event_id=EVENT_ID,
            account_id=ACCOUNT,
            email="dv.gahan@test.com",
            notice="password_changed",
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            expires_at=datetime(2026, 2, 1, 12, 0, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","account_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"email":"dv.gahan@test.com","notice":"password_changed",'
            '"occurred_at":"2026-01-31T12:00:00.000005+00:00","expires_at":"2026-02-01T12:00:00.000000+00:00"}'
        ),
    ),
    (
        "notifier.heartbeat.v1",
        NotifierHeartbeat(
            event_id=EVENT_ID,
            instance_id=SESSION,
            number=7,
            consuming=True,
            mail_taken=False,
            lag=0.25,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","instance_id":"01890a5d-ac96-774b-bcce-b302099a805a",'
            '"number":7,"consuming":true,"mail_taken":false,"lag":0.25,'
            '"occurred_at":"2026-01-31T12:00:00.000005+00:00"}'
        ),
    ),
    (
        "auth.audit.v1",
        AuthAudited(
            event_id=EVENT_ID,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            act="session_ended",
            outcome="ok",
            reason="logout",
            account_id=ACCOUNT,
            actor_id=ACCOUNT,
            session_id=SESSION,
            address="198.51.100.7",
            correlation_id="request-1",
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","occurred_at":"2026-01-31T12:00:00.000005+00:00",'
            '"service":"auth","act":"session_ended","outcome":"ok","reason":"logout",'
            '"account_id":"01890a5d-ac96-774b-bcce-b302099a8059","actor_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"session_id":"01890a5d-ac96-774b-bcce-b302099a805a","address":"198.51.100.7","correlation_id":"request-1"}'
        ),
    ),
    (
        "users.audit.v1",
        UsersAudited(
            event_id=EVENT_ID,
            occurred_at=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
            act="registration",
            outcome="ok",
            reason="operator",
            account_id=ACCOUNT,
            actor_id=ACCOUNT,
            session_id=SESSION,
            address="198.51.100.7",
            correlation_id="request-1",
        ),
        (
            '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","occurred_at":"2026-01-31T12:00:00.000005+00:00",'
            '"service":"users","act":"registration","outcome":"ok","reason":"operator",'
            '"account_id":"01890a5d-ac96-774b-bcce-b302099a8059","actor_id":"01890a5d-ac96-774b-bcce-b302099a8059",'
            '"session_id":"01890a5d-ac96-774b-bcce-b302099a805a","address":"198.51.100.7","correlation_id":"request-1"}'
        ),
    ),
    *TO_USERS,
    *TO_OTHERS,
]
