"""Limits by name from all addresses, and on wrong codes across challenges; places that are taken while a password is
compared; addresses that an account has logged in from.

The version before may run beside this one: it counts under addresses in clear, which are swept away after a day, and
takes no places.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _taken() -> list[sa.Column[object]]:
    return [
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
    ]


def _last_at() -> sa.Column[object]:
    return sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    for column in _taken():
        op.add_column("login_failures", column, schema="auth")
    op.create_table(
        "name_failures",
        sa.Column("name_hash", sa.LargeBinary(), nullable=False),
        sa.Column("failed_at", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        *_taken(),
        _last_at(),
        sa.PrimaryKeyConstraint("name_hash"),
        schema="auth",
    )
    op.create_table(
        "familiar_addresses",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        _last_at(),
        sa.PrimaryKeyConstraint("account_id", "address_hash"),
        schema="auth",
    )
    for table in ("name_failures", "familiar_addresses"):
        op.create_index(f"ix_{table}_last_at", table, ["last_at"], unique=False, schema="auth")
    op.create_table(
        "code_failures",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
        schema="auth",
    )


def downgrade() -> None:
    op.drop_table("code_failures", schema="auth")
    for table in ("familiar_addresses", "name_failures"):
        op.drop_index(f"ix_{table}_last_at", table_name=table, schema="auth")
        op.drop_table(table, schema="auth")
    for column in ("taken_until", "taken"):
        op.drop_column("login_failures", column, schema="auth")
