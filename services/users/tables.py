"""Schema `users`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
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

from shared.audit import Trail
from shared.messaging.events import UsersAudited
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
    Column("session_epoch", BigInteger, nullable=False, server_default="0"),
    Column("kept_session", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("modified_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
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
