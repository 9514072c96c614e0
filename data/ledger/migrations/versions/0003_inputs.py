"""Predictions: what was fed to the model, and how unlike the films learnt the film is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("predictions", sa.Column("used", sa.Text, nullable=False, server_default="{}"))
    op.add_column(
        "predictions", sa.Column("predicted_inputs", sa.Text, nullable=False, server_default="[]")
    )
    op.add_column("predictions", sa.Column("novelty", sa.Double, nullable=True))
