"""Imports: facts of radiographs, fingerprints, near duplicates, origins, what sources say."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "radiographs", sa.Column("metadata", sa.Text, nullable=False, server_default="{}")
    )
    op.create_table(
        "fingerprints",
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.Column("film", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("radiograph_id", name="pk_fingerprints"),
        _of_radiograph("fingerprints", "radiograph_id"),
    )
    op.create_table(
        "near_duplicates",
        sa.Column("one", sa.Text, nullable=False),
        sa.Column("other", sa.Text, nullable=False),
        sa.Column("distance", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("one", "other", name="pk_near_duplicates"),
        _of_radiograph("near_duplicates", "one"),
        _of_radiograph("near_duplicates", "other"),
    )
    op.create_table(
        "origins",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.Column("stamp", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_origins"),
        _of_radiograph("origins", "radiograph_id"),
    )
    op.create_table(
        "source_values",
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("radiograph_id", name="pk_source_values"),
        _of_radiograph("source_values", "radiograph_id"),
    )
    op.drop_index("ix_readings_radiograph_id", "readings")
    op.create_index("ix_readings_live", "readings", ["radiograph_id", "withdrawn"])


def downgrade() -> None:
    raise NotImplementedError("The ledger is append-only: restore a backup instead.")


def _of_radiograph(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["radiographs.id"], name=f"fk_{table}_{column}")
