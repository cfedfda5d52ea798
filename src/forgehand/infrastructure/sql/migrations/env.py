"""Alembic's entry: the connection comes from the caller, never from a file."""

from __future__ import annotations

from alembic import context

from forgehand.infrastructure.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="forgehand_alembic_version",
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
