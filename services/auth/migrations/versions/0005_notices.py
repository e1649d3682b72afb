"""What owners have been told by mail, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "notice"),
        schema="auth",
    )
    op.create_index("ix_notices_told_at", "notices", ["told_at"], schema="auth")


def downgrade() -> None:
    op.drop_table("notices", schema="auth")
