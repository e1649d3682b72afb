"""What became of each code, and back-pressure.

The version before may run beside this one: it leaves the new columns empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "challenges",
        sa.Column("mailbox_refuses", sa.Boolean(), server_default="false", nullable=False),
        schema="auth",
    )
    for column, also in (("waiting_since", " AND NOT mailbox_refuses"), ("delivered_sent_at", "")):
        op.add_column("challenges", sa.Column(column, sa.DateTime(timezone=True), nullable=True), schema="auth")
        op.create_index(
            f"ix_challenges_{column}",
            "challenges",
            [column],
            unique=False,
            schema="auth",
            postgresql_where=sa.text(f"{column} IS NOT NULL{also}"),
        )
    op.add_column("challenges", sa.Column("code_event_id", sa.Uuid(), nullable=True), schema="auth")
    op.add_column("challenges", sa.Column("code_outcome", sa.Text(), nullable=True), schema="auth")
    pressure = op.create_table(
        "pressure",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.PrimaryKeyConstraint("id"),
        schema="auth",
    )
    op.bulk_insert(pressure, [{"id": 1}])


def downgrade() -> None:
    op.drop_table("pressure", schema="auth")
    op.drop_column("challenges", "code_outcome", schema="auth")
    op.drop_column("challenges", "code_event_id", schema="auth")
    for column in ("delivered_sent_at", "waiting_since"):
        op.drop_index(f"ix_challenges_{column}", table_name="challenges", schema="auth")
        op.drop_column("challenges", column, schema="auth")
    op.drop_column("challenges", "mailbox_refuses", schema="auth")
