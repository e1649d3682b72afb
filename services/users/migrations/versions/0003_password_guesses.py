"""Wrong current passwords in a row, by account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "password_guesses",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("guesses", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("account_id"),
        schema="users",
    )


def downgrade() -> None:
    op.drop_table("password_guesses", schema="users")
