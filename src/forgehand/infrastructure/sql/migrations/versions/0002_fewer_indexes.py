"""Each attempt writes fifteen index entries on PostgreSQL; three of them nobody reads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Attempts are looked up with their job; events by job and sequence or by transaction and sequence.
        op.execute("ALTER TABLE forgehand_attempts DROP CONSTRAINT forgehand_attempts_pkey")
        op.execute("ALTER TABLE forgehand_attempts ADD PRIMARY KEY (job_id, lease_id)")
        op.execute("DROP INDEX forgehand_attempts_job")
        op.execute("ALTER TABLE forgehand_events DROP CONSTRAINT forgehand_events_pkey")
    else:
        _anew()


def _anew() -> None:
    """SQLite changes no primary key in place."""
    op.drop_index("forgehand_attempts_job")
    op.drop_index("forgehand_attempts_rate")
    op.rename_table("forgehand_attempts", "forgehand_attempts_before")
    op.create_table(
        "forgehand_attempts",
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("problem", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "lease_id"),
    )
    op.execute(
        "INSERT INTO forgehand_attempts"
        " (lease_id, job_id, type, number, worker, started_at, ended_at, outcome, problem)"
        " SELECT lease_id, job_id, type, number, worker, started_at, ended_at, outcome, problem"
        " FROM forgehand_attempts_before"
    )
    op.drop_table("forgehand_attempts_before")
    op.create_index("forgehand_attempts_rate", "forgehand_attempts", ["type", "started_at"], unique=False)
