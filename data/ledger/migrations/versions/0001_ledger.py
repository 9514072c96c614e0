"""The ledger: events, radiographs, readings, predictions, runs, versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _journal()
    _radiographs()
    _readings()
    _predictions()
    _training()
    op.create_table(
        "state",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_state"),
    )


def downgrade() -> None:
    raise NotImplementedError("The ledger is append-only: restore a backup instead.")


def _journal() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
    )
    op.create_index("ix_events_kind", "events", ["kind", "seq"])
    head = op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chain_head"),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])


def _radiographs() -> None:
    op.create_table(
        "patients",
        sa.Column("patient", sa.Text, nullable=False),
        sa.Column("split", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("patient", name="pk_patients"),
    )
    op.create_table(
        "radiographs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("patient", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("imported_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_radiographs"),
        sa.ForeignKeyConstraint(["patient"], ["patients.patient"], name="fk_radiographs_patient"),
    )
    op.create_index("ix_radiographs_patient", "radiographs", ["patient"])
    op.create_table(
        "task_links",
        sa.Column("project", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("task", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project", "task", name="pk_task_links"),
        _of_radiograph("task_links"),
    )
    op.create_index("ix_task_links_radiograph_id", "task_links", ["radiograph_id"])


def _readings() -> None:
    op.create_table(
        "readings",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.Column("reader", sa.Text, nullable=False),
        sa.Column("project", sa.Integer),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.Column("lead_time_s", sa.Double),
        sa.Column("read_at", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Text, nullable=False),
        sa.Column("label_event", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_readings"),
        _of_radiograph("readings"),
    )
    for column in ("radiograph_id", "project", "label_event"):
        op.create_index(f"ix_readings_{column}", "readings", [column])


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("radiograph_id", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("intervals", sa.Text, nullable=False),
        sa.Column("probabilities", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("coverage", sa.Double, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.UniqueConstraint("radiograph_id", "model_version", name="uq_predictions_radiograph_id"),
        _of_radiograph("predictions"),
    )
    op.create_index("ix_predictions_model_version", "predictions", ["model_version"])


def _training() -> None:
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("requested_at", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("promoted", sa.Boolean),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text),
        sa.Column("heartbeat_at", sa.Text),
        sa.Column("finished_at", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("seconds", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_training_runs"),
        sa.UniqueConstraint("number", name="uq_training_runs_number"),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("labels", sa.Integer, nullable=False),
        sa.Column("expert_labels", sa.Integer, nullable=False),
        sa.Column("last_event", sa.Integer, nullable=False),
        sa.Column("committed_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_dataset_versions"),
    )


def _of_radiograph(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["radiograph_id"], ["radiographs.id"], name=f"fk_{table}_radiograph_id"
    )
