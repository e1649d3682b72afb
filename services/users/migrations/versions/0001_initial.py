"""The tables of 1.0.0. It does not change any more: tables.py goes on, and a new migration follows it."""

from __future__ import annotations

from shared.database.migrations import run_script, undo_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(__file__)


def downgrade() -> None:
    undo_script(__file__)
