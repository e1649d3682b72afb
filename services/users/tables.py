"""Schema `users`."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
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
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY  # only it can be asked for what it contains

from shared.audit import Trail
from shared.messaging.audit_events import UsersAudited
from shared.messaging.outbox_table import outbox_table
from shared.notice_budget import notices_table

metadata = MetaData(schema="users")

outbox = outbox_table(metadata)
notices = notices_table(metadata)
trail = Trail(UsersAudited, outbox)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True),  # UUIDv7: its order is the order of registration
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("lastname", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_2fa", Boolean, nullable=False),
    Column("is_admin", Boolean, nullable=False, server_default=false()),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("email_verified_at", DateTime(timezone=True)),
    Column("pending_email", Text),  # becomes `email` when its code comes back
    Column("groups", ARRAY(Text), nullable=False, server_default="{}"),
    Column("password_by_mail", Boolean, nullable=False, server_default=false()),
    Column("session_epoch", BigInteger, nullable=False, server_default="0"),
    Column("kept_session", Uuid),
    # As auth published them last. Apart from `version`, which is users' own, and is published.
    Column("factors", ARRAY(Text), nullable=False, server_default="{}"),
    Column("factors_version", BigInteger, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("modified_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_accounts_groups", "groups", postgresql_using="gin"),
    Index("ix_accounts_factors", "factors", postgresql_using="gin"),
    Index("ix_accounts_administrators", "id", postgresql_where=text("is_admin")),
)

# One row: the current incarnation, and the latest one that is published completely.
incarnation = Table(
    "incarnation",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False, server_default="1"),
    Column("published", BigInteger, nullable=False, server_default="1"),
)

in_step = Table(
    "in_step",
    metadata,
    Column("id", SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("told_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Deleted accounts, so that a rebuilt read model learns of the deletion.
tombstones = Table(
    "tombstones",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Sessions that auth has ended, while one of their access tokens may still be valid.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
    Index("ix_ended_sessions_until", "until"),
)

registration_keys = Table(
    "registration_keys",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_registration_keys_created_at", "created_at"),
)

# Requests for a code, and the code if one was mailed. `id` is the token that its client holds; it opens nothing alone.
codes = Table(
    "codes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("purpose", Text, nullable=False),  # shared.messaging.events.CodePurpose
    Column("account_id", Uuid),
    Column("email_key_hash", LargeBinary, nullable=False),
    Column("client_hash", LargeBinary),
    Column("code_mac", LargeBinary),  # NULL: nothing was mailed, and no code is right
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("outcome", Text),  # shared.messaging.events.AccountCodeOutcome
    Column("said", Text),  # the same, for a test mail alone
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Index("ix_codes_email_key_hash_created_at", "email_key_hash", "created_at"),
    Index("ix_codes_account_id_created_at", "account_id", "created_at"),
    Index("ix_codes_client_hash_created_at", "client_hash", "created_at"),
    Index("ix_codes_expires_at", "expires_at"),
)


def _of_code() -> Column[UUID]:
    return Column("code_id", Uuid, ForeignKey("users.codes.id", ondelete="CASCADE"), primary_key=True)


# Accounts that a code will make (REGISTRATION=proven).
pending_registrations = Table(
    "pending_registrations",
    metadata,
    _of_code(),
    Column("email", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("lastname", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_2fa", Boolean, nullable=False),
)

# Rights that an invited account gets. `invited_by` is NULL for an operator.
invitations = Table(
    "invitations",
    metadata,
    _of_code(),
    Column("email", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("groups", ARRAY(Text), nullable=False),
    Column("invited_by", Uuid),
)


def _guesses(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("account_id", Uuid, primary_key=True),
        Column("guesses", Integer, nullable=False),
        Column("last_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


password_guesses = _guesses("password_guesses")  # wrong current passwords in a row; a right one deletes the row
name_guesses = _guesses("name_guesses")  # each answer reveals whether a name is taken
