"""The whole schema of tables.py. Until 1.0.0 there is one migration, and it follows the code."""

from __future__ import annotations

from alembic import op

from services.users.tables import in_step, incarnation, metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.bulk_insert(incarnation, [{"id": 1}])
    op.bulk_insert(in_step, [{"id": 1}])


def downgrade() -> None:
    metadata.drop_all(op.get_bind(), checkfirst=False)
