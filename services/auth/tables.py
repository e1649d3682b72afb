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
from shared.messaging.events import AuthAudited
from shared.messaging.outbox import outbox_table
from shared.notice_budget import notices_table

metadata = MetaData(schema="auth")

_now = func.now()


def _moment(name: str, *, default: bool = False) -> Column[object]:
    if default:
        return Column(name, DateTime(timezone=True), nullable=False, server_default=_now)
    return Column(name, DateTime(timezone=True))


def _in_flight() -> list[Column[object]]:
    """Places that attempts have which are under way: none of them can be counted before its outcome is known."""
    return [Column("in_flight", Integer, nullable=False, server_default="0"), _moment("in_flight_until")]


outbox = outbox_table(metadata)
# The oldest code in it is looked at every second, also where a million other events wait before it.
Index("ix_outbox_codes", outbox.c.created_at, postgresql_where=text("type = 'auth.otp_requested.v1'"))
trail = Trail(AuthAudited, outbox)

# The read model of accounts: one row per account, deleted ones as tombstones, written by events only.
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
    # Was not active when users was restored from a backup, which has forgotten it.
    Column("locked_out", Boolean, nullable=False, server_default=false()),
    Column("session_epoch", BigInteger, nullable=False),
    Column("kept_session", Uuid),
    _moment("applied_at", default=True),
    # Not unique: events of two accounts that exchange a name may arrive in any order.
    Index("ix_identities_username_key", "username_key"),
    Index("ix_identities_administrators", "id", postgresql_where=text("is_admin")),
)

# One row: until when users has told that we know all administrators, and its latest incarnation.
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
    # The mailbox that its codes are sent to (shared.names); codes are counted by it.
    Column("email_key_hash", LargeBinary, nullable=False),
    Column("code_mac", LargeBinary, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("resends", SmallInteger, nullable=False, server_default="0"),
    _moment("created_at", default=True),
    _moment("sent_at", default=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("used_at"),
    # The event that asked for the latest code, and the last word on that code (shared.messaging.events.OtpOutcome).
    Column("code_event_id", Uuid, nullable=False),
    Column("code_outcome", Text),
    Index("ix_challenges_account_id_sent_at", "account_id", "sent_at"),
    Index("ix_challenges_email_key_hash_sent_at", "email_key_hash", "sent_at"),
    Index("ix_challenges_expires_at", "expires_at"),
)

# The last heartbeat of each notifier (shared.messaging.events.NotifierHeartbeat).
notifiers = Table(
    "notifiers",
    metadata,
    Column("instance_id", Uuid, primary_key=True),
    Column("number", BigInteger, nullable=False),
    _moment("heard_at", default=True),
    # When it said last that it takes codes and that its mail server takes connections.
    _moment("delivering_at"),
    Column("lag", Double),
    Index("ix_notifiers_heard_at", "heard_at"),
)

# One row: what all replicas have to agree on about back-pressure (services.auth.factors.back_pressure).
back_pressure = Table(
    "back_pressure",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    # Since when it has been on.
    _moment("since"),
    # When a replica looked last, and since when there has always been one that did.
    _moment("watched_at"),
    _moment("watched_since"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("amr", ARRAY(Text), nullable=False),
    _moment("auth_time", default=True),
    # Moves on with every refresh, up to the longest lifetime of a session: it ends when its newest refresh token does.
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("ended_at"),
    # Of the login or the latest refresh; an older version of auth, side by side with this one, leaves all three empty.
    _moment("last_used_at"),
    Column("address", Text),
    Column("user_agent", Text),
    Index("ix_sessions_account_id", "account_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", Uuid, ForeignKey("auth.sessions.id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", Uuid),
    # Its `iat`: with the id all that is needed to make the same token again.
    _moment("created_at", default=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("used_at"),
    Index("ix_refresh_tokens_session_id", "session_id"),
    # A token has one successor.
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

# Wrong passwords for one submitted name, from all addresses: when they came, the latest first.
name_failures = Table(
    "name_failures",
    metadata,
    Column("name_hash", LargeBinary, primary_key=True),
    Column("failed_at", ARRAY(DateTime(timezone=True)), nullable=False),
    *_in_flight(),
    _moment("last_at", default=True),
    Index("ix_name_failures_last_at", "last_at"),
)

# Wrong passwords from one address (of IPv6: one network), for all names: when they came, the latest first. It is hashed
# as in `familiar_addresses`.
address_failures = Table(
    "address_failures",
    metadata,
    Column("address_hash", LargeBinary, primary_key=True),
    Column("failed_at", ARRAY(DateTime(timezone=True)), nullable=False),
    *_in_flight(),
    _moment("last_at", default=True),
    Index("ix_address_failures_last_at", "last_at"),
)

# Hashes of the addresses that an account has logged in from, each until it has not for a while.
familiar_addresses = Table(
    "familiar_addresses",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("address_hash", LargeBinary, primary_key=True),
    _moment("last_at", default=True),
    Index("ix_familiar_addresses_last_at", "last_at"),
)

# Wrong codes in a row of one account, across its challenges; a right one removes the row, and so does an administrator.
code_failures = Table(
    "code_failures",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("failures", BigInteger, nullable=False),
)

notices = notices_table(metadata)
