"""Readings: why a reader cannot read the radiograph."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("unreadable", sa.Text, nullable=False, server_default=sa.text("''"))
    op.add_column("readings", column)
