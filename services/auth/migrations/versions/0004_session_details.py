"""When a session was last used, and from where: for its owner to see. Sessions from before say nothing of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True), schema="auth")
    op.add_column("sessions", sa.Column("address", sa.Text(), nullable=True), schema="auth")
    op.add_column("sessions", sa.Column("user_agent", sa.Text(), nullable=True), schema="auth")


def downgrade() -> None:
    for column in ("user_agent", "address", "last_used_at"):
        op.drop_column("sessions", column, schema="auth")
