"""Schema `auth`."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    false,
    func,
    text,
)

from shared.audit import Trail
from shared.messaging.audit_events import AuthAudited
from shared.messaging.outbox_table import outbox_table
from shared.notice_budget import notices_table

metadata = MetaData(schema="auth")


def _moment(name: str, *, default: bool = False) -> Column[object]:
    now = func.now() if default else None
    return Column(name, DateTime(timezone=True), nullable=not default, server_default=now)


def _in_flight() -> list[Column[object]]:
    return [Column("in_flight", Integer, nullable=False, server_default="0"), _moment("in_flight_until")]


outbox = outbox_table(metadata)
# Back-pressure reads the oldest code every second, even if a million other events wait.
Index("ix_outbox_codes", outbox.c.created_at, postgresql_where=text("type = 'auth.otp_requested.v1'"))
trail = Trail(AuthAudited, outbox)

# The read model of accounts: one row per account, deleted ones as tombstones, written by events; one column is ours.
identities = Table(
    "identities",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("incarnation", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("username_key", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_2fa", Boolean, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    # True if the account was inactive before users was restored from a backup that has lost this.
    Column("locked_out", Boolean, nullable=False, server_default=false()),
    Column("email_verified", Boolean, nullable=False, server_default=false()),
    Column("groups", ARRAY(Text), nullable=False, server_default="{}"),
    # Until another factor has logged in with it, the mailbox is one factor, not two (docs/security.md).
    Column("password_by_mail", Boolean, nullable=False, server_default=false()),
    Column("session_epoch", BigInteger, nullable=False),
    Column("factors_version", BigInteger, nullable=False, server_default="0"),  # ours: rises with each change
    Column("kept_session", Uuid),
    _moment("applied_at", default=True),
    # Not unique: events of two accounts that swap names may arrive in any order.
    Index("ix_identities_username_key", "username_key"),
    Index("ix_identities_administrators", "id", postgresql_where=text("is_admin")),
)

# When users last confirmed our administrators, and its latest incarnation.
in_step = Table(
    "in_step",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("incarnation", BigInteger, nullable=False, server_default="0"),
    _moment("heard"),
)

challenges = Table(
    "challenges",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("factors_version", BigInteger, nullable=False),
    Column("session_id", Uuid),  # the one that steps up; NULL for a login
    Column("methods", ARRAY(Text), nullable=False),  # what may complete it
    Column("email_key_hash", LargeBinary, nullable=False),
    # These four are NULL until a code is mailed.
    Column("code_mac", LargeBinary),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("resends", SmallInteger, nullable=False, server_default="0"),
    _moment("created_at", default=True),
    _moment("sent_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("used_at"),
    Column("code_event_id", Uuid),  # of the latest code
    Column("code_outcome", Text),  # its last reported outcome (shared.messaging.events.OtpOutcome)
    Index("ix_challenges_account_id_sent_at", "account_id", "sent_at"),
    Index("ix_challenges_email_key_hash_sent_at", "email_key_hash", "sent_at"),
    Index("ix_challenges_expires_at", "expires_at"),
)

notifiers = Table(
    "notifiers",
    metadata,
    Column("instance_id", Uuid, primary_key=True),
    Column("number", BigInteger, nullable=False),
    _moment("heard_at", default=True),
    _moment("delivering_at"),  # when it last reported that it consumes codes and its mail server takes connections
    Column("lag", Double),
    Index("ix_notifiers_heard_at", "heard_at"),
)

back_pressure = Table(
    "back_pressure",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    _moment("since"),
    _moment("watched_at"),  # when a replica last looked
    _moment("watched_since"),  # since when replicas have looked without a gap
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("amr", ARRAY(Text), nullable=False),
    _moment("began_at", default=True),
    _moment("auth_time", default=True),  # of the login or the latest step-up; the longest life is from `began_at`
    # Each refresh extends it, or use in a browser. With tokens it equals the expiry of the newest refresh token.
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("ended_at"),
    _moment("last_used_at"),  # the three: at the login, the latest refresh, or to the minute the latest page
    Column("address", Text),
    Column("user_agent", Text),
    Column("cookie_hash", LargeBinary, unique=True),  # of a browser's session, SHA-256
    Column("gate_hash", LargeBinary, unique=True),  # the same of the cookie that opens forward-auth alone
    Column("kept", Boolean, nullable=False, server_default=false()),  # "keep me logged in"
    Index("ix_sessions_account_id", "account_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", Uuid, ForeignKey("auth.sessions.id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", Uuid),
    # The `iat` of the pair and claims of its access token: with them and the id the same pair can be made again.
    _moment("created_at", default=True),
    Column("amr", ARRAY(Text), nullable=False),
    _moment("auth_time", default=True),
    Column("email_verified", Boolean, nullable=False, server_default=false()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("used_at"),
    Index("ix_refresh_tokens_session_id", "session_id"),
    Index("ix_refresh_tokens_parent_id", "parent_id", unique=True),
)

# Wrong passwords in a row, by submitted name (whether or not an account has it) and by address, both hashed.
login_failures = Table(
    "login_failures",
    metadata,
    Column("name_hash", LargeBinary, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    _moment("last_at", default=True),
    _moment("wait_until"),
    *_in_flight(),
    Index("ix_login_failures_last_at", "last_at"),
)


def _times_of_failures(name: str, key: str) -> Table:
    """Times of wrong passwords, newest first."""
    return Table(
        name,
        metadata,
        Column(key, LargeBinary, primary_key=True),
        Column("failed_at", ARRAY(DateTime(timezone=True)), nullable=False),
        *_in_flight(),
        _moment("last_at", default=True),
        Index(f"ix_{name}_last_at", "last_at"),
    )


# Per submitted name from all addresses, and per address (IPv6: per network; hashed as in `familiar_addresses`).
name_failures = _times_of_failures("name_failures", "name_hash")
address_failures = _times_of_failures("address_failures", "address_hash")

familiar_addresses = Table(
    "familiar_addresses",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("address_hash", LargeBinary, primary_key=True),
    _moment("last_at", default=True),
    Index("ix_familiar_addresses_last_at", "last_at"),
)

code_failures = Table(
    "code_failures",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("failures", BigInteger, nullable=False),
)

# `methods` follows the tables below.
factors = Table(
    "factors",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("methods", ARRAY(Text), nullable=False, server_default="{}"),
    Column("user_handle", LargeBinary, nullable=False, unique=True),  # `user.id` of passkeys: WebAuthn section 14.6.1
    Column("recovery_salt", LargeBinary),  # one for the whole set: a try costs one hash
    _moment("recovery_made_at"),
    # The session epoch of the latest login by password and another factor than mail (see identities.password_by_mail).
    Column("login_epoch", BigInteger),
)

totp = Table(
    "totp",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("sealed_secret", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),  # wrong codes before it is confirmed
    Column("last_step", BigInteger, nullable=False, server_default="0"),  # RFC 6238: of the latest code that was used
    _moment("created_at", default=True),
    _moment("confirmed_at"),
    _moment("last_used_at"),
    Index("ix_totp_confirmed", "account_id", unique=True, postgresql_where=text("confirmed_at IS NOT NULL")),
    Index("ix_totp_unconfirmed", "account_id", unique=True, postgresql_where=text("confirmed_at IS NULL")),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
    Column("transports", ARRAY(Text), nullable=False),
    Column("aaguid", Text, nullable=False),
    Column("name", Text, nullable=False),
    _moment("created_at", default=True),
    _moment("last_used_at"),
    Index("ix_passkeys_account_id", "account_id"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    _moment("used_at"),
)

# Ceremonies of passkeys that have been answered; one that has not is a signed token alone.
used_ceremonies = Table(
    "used_ceremonies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("ix_used_ceremonies_expires_at", "expires_at"),
)

trusted_devices = Table(
    "trusted_devices",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("epoch", BigInteger, nullable=False),
    Column("factors_version", BigInteger, nullable=False),
    Column("address", Text),
    Column("user_agent", Text),
    _moment("created_at", default=True),
    _moment("last_used_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("ix_trusted_devices_account_id", "account_id"),
    Index("ix_trusted_devices_expires_at", "expires_at"),
)

notices = notices_table(metadata)
