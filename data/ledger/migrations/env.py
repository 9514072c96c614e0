"""Alembic's entry point: it runs inside the transaction that `Database` holds."""

from __future__ import annotations

from alembic import context

from data.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
