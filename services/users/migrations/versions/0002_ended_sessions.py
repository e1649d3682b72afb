"""Sessions that auth has ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="users",
    )
    op.create_index("ix_ended_sessions_until", "ended_sessions", ["until"], schema="users")


def downgrade() -> None:
    op.drop_table("ended_sessions", schema="users")
