"""Jobs and what surrounds them, documents, tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _transaction() -> sa.TextClause:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    return sa.text("(pg_current_xact_id()::text::bigint)" if on_postgresql else "0")


def upgrade() -> None:
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
        sa.PrimaryKeyConstraint("lease_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("forgehand_attempts_job", "forgehand_attempts", ["job_id"], unique=False)
    op.create_index("forgehand_attempts_rate", "forgehand_attempts", ["type", "started_at"], unique=False)
    op.create_table(
        "forgehand_dependencies",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=False),
        sa.Column("on_failure", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "parent_id"),
    )
    op.create_index("forgehand_dependencies_parent", "forgehand_dependencies", ["parent_id"], unique=False)
    op.create_table(
        "forgehand_documentations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("head_sha", sa.Text(), nullable=False),
        sa.Column("diff_hash", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("facts", _JSON, nullable=False),
        sa.Column("coverage", _JSON, nullable=False),
        sa.Column("narrative", _JSON, nullable=True),
        sa.Column("usage", _JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("repo", "number", "fingerprint", name="forgehand_documentations_fingerprint"),
        sa.UniqueConstraint("repo", "number", "version", name="forgehand_documentations_version"),
    )
    op.create_index(
        "forgehand_documentations_newest", "forgehand_documentations", ["created_at", "id"], unique=False
    )
    op.create_table(
        "forgehand_events",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("tx", sa.BigInteger(), server_default=_transaction(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sqlite_autoincrement=True,
    )
    op.create_index("forgehand_events_job", "forgehand_events", ["job_id", "sequence"], unique=False)
    op.create_index("forgehand_events_stream", "forgehand_events", ["tx", "sequence"], unique=False)
    op.create_table(
        "forgehand_idempotency_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    op.create_table(
        "forgehand_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_ms", sa.BigInteger(), nullable=True),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("blockers", sa.Integer(), nullable=False),
        sa.Column("cancel_at", sa.BigInteger(), nullable=True),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("request", _JSON, nullable=False),
        sa.Column("result", _JSON, nullable=True),
        sa.Column("problem", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "forgehand_jobs_claim",
        "forgehand_jobs",
        ["type", "priority", "run_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND blockers = 0"),
        sqlite_where=sa.text("state = 'pending' AND blockers = 0"),
    )
    op.create_index(
        "forgehand_jobs_ended",
        "forgehand_jobs",
        ["type", "state", "finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
        sqlite_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index("forgehand_jobs_newest", "forgehand_jobs", ["created_at", "id"], unique=False)
    op.create_index(
        "forgehand_jobs_running",
        "forgehand_jobs",
        ["worker_id"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "forgehand_jobs_unique_key",
        "forgehand_jobs",
        ["type", "unique_key"],
        unique=True,
        postgresql_where=sa.text("unique_key IS NOT NULL AND state IN ('pending', 'running')"),
        sqlite_where=sa.text("unique_key IS NOT NULL AND state IN ('pending', 'running')"),
    )
    op.create_index(
        "forgehand_jobs_unwanted",
        "forgehand_jobs",
        ["worker_id"],
        unique=False,
        postgresql_where=sa.text("cancel_at IS NOT NULL AND lease_id IS NOT NULL"),
        sqlite_where=sa.text("cancel_at IS NOT NULL AND lease_id IS NOT NULL"),
    )
    op.create_index(
        "forgehand_jobs_waiting",
        "forgehand_jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND blockers > 0"),
        sqlite_where=sa.text("state = 'pending' AND blockers > 0"),
    )
    op.create_table(
        "forgehand_paused_types",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("type"),
    )
    op.create_table(
        "forgehand_pull_requests",
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("base_sha", sa.Text(), nullable=False),
        sa.Column("head_sha", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("documentation_id", sa.Uuid(), nullable=True),
        sa.Column("published_url", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("repo", "number"),
    )
    op.create_table(
        "forgehand_schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("request", _JSON, nullable=False),
        sa.Column("timing", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_job_id", sa.Uuid(), nullable=True),
        sa.Column("fired", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("missed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("forgehand_schedules_next", "forgehand_schedules", ["next_at"], unique=False)
    op.create_table(
        "forgehand_steps",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "key"),
    )
    op.create_table(
        "forgehand_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index(
        "forgehand_tokens_name",
        "forgehand_tokens",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
        sqlite_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "forgehand_workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
