"""The tables of the ledger, in types that SQLite and PostgreSQL share.

Times are text as `events.utc_text` writes it, because SQLite keeps no time zone. Values are
canonical JSON text. A change here needs a file in `migrations/versions` that makes the same change;
a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA_VERSION = "0004"
"""The newest revision in `migrations/versions`."""

VERSION_TABLE = "ledger_version"
"""Not alembic's default, so that the ledger may share a database with MLflow."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_events_kind", "kind", "seq"),
)

chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the last event, so that a cut-off end of the chain is noticed too."""

patients = Table(
    "patients",
    metadata,
    Column("patient", Text, primary_key=True),
    Column("split", Text, nullable=False),
)
"""The only place that holds a split: no two radiographs of a patient can differ in it."""

radiographs = Table(
    "radiographs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("patient", Text, ForeignKey("patients.patient"), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("imported_at", Text, nullable=False),
    Column("metadata", Text, nullable=False, server_default="{}"),
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), primary_key=True),
    # `data.images.fingerprint`, hexadecimal.
    Column("film", Text, nullable=False),
)

near_duplicates = Table(
    "near_duplicates",
    metadata,
    Column("one", Text, ForeignKey("radiographs.id"), primary_key=True),
    Column("other", Text, ForeignKey("radiographs.id"), primary_key=True),
    Column("distance", Double, nullable=False),
)

origins = Table(
    "origins",
    metadata,
    # Keyed hash of a source's name and of what it calls the radiograph.
    Column("key", Text, primary_key=True),
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), nullable=False),
    Column("stamp", Text, nullable=False),
)
"""Which radiograph an item of a source became, without a name that may identify."""

source_values = Table(
    "source_values",
    metadata,
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), primary_key=True),
    Column("values", Text, nullable=False),
)
"""What its source says of a radiograph of any split; no reading, and nothing trains on it."""

task_links = Table(
    "task_links",
    metadata,
    Column("project", Integer, primary_key=True, autoincrement=False),
    Column("task", Integer, primary_key=True, autoincrement=False),
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), nullable=False, index=True),
)

readings = Table(
    "readings",
    metadata,
    # "<project>:<annotation>", or "reference:<radiograph>" for the reference reader.
    Column("key", Text, primary_key=True),
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), nullable=False),
    Column("reader", Text, nullable=False),
    Column("project", Integer, index=True),
    Column("values", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("lead_time_s", Double),
    Column("read_at", Text, nullable=False),
    # Newest time that was told with these values: what is told with an older time is stale.
    Column("seen_at", Text, nullable=False),
    # Last label event that changed what the radiograph's label may be; 0: none did.
    Column("label_event", Integer, nullable=False, index=True),
    # Why the reader cannot read the radiograph; empty: it was read.
    Column("unreadable", Text, nullable=False, server_default=text("''")),
    # Answers by itself which radiographs have several live readings.
    Index("ix_readings_live", "radiograph_id", "withdrawn"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("radiograph_id", Text, ForeignKey("radiographs.id"), nullable=False),
    Column("model_version", Text, nullable=False, index=True),
    Column("values", Text, nullable=False),
    Column("intervals", Text, nullable=False),
    Column("probabilities", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("coverage", Double, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("used", Text, nullable=False, server_default="{}"),
    Column("predicted_inputs", Text, nullable=False, server_default="[]"),
    Column("novelty", Double),
    UniqueConstraint("radiograph_id", "model_version"),
)

training_runs = Table(
    "training_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("trigger", Text, nullable=False),
    Column("requested_at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("promoted", Boolean),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("started_at", Text),
    Column("heartbeat_at", Text),
    Column("finished_at", Text),
    Column("attempt", Integer, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("seconds", Text, nullable=False),
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("commit", Text, nullable=False),
    Column("labels", Integer, nullable=False),
    Column("expert_labels", Integer, nullable=False),
    Column("last_event", Integer, nullable=False),
    Column("committed_at", Text, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Small facts that jobs carry over, such as the cursor of the last reconcile."""
