"""The tables. What is filtered by is a column; JSON is opaque to SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(value: datetime) -> int:
    """Microseconds since 1970. `value` is aware."""
    return (value - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The inverse of `to_micros`, as UTC."""
    return _EPOCH + timedelta(microseconds=value)


class Micros(TypeDecorator[datetime]):
    """Aware UTC in Python, integer microseconds in SQL."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class CurrentTransaction(ColumnElement[int]):
    """The transaction that writes a row: PostgreSQL's id of it; 0 on SQLite, which has one writer."""

    inherit_cache = True


@compiles(CurrentTransaction)
def _on_sqlite(_element: CurrentTransaction, _compiler: SQLCompiler, **_options: Any) -> str:
    return "0"


@compiles(CurrentTransaction, "postgresql")
def _on_postgresql(_element: CurrentTransaction, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(pg_current_xact_id()::text::bigint)"


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Sequence = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

jobs = Table(
    "forgehand_jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("run_at", Micros, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("started_at", Micros),
    Column("finished_at", Micros),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("timeout_ms", BigInteger),
    Column("lease_id", Uuid),
    Column("worker_id", Uuid),
    Column("unique_key", Text),
    Column("submitted_by", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("tags", Text, nullable=False),
    Column("blockers", Integer, nullable=False),
    Column("cancel_at", Micros),
    Column("progress", Integer, nullable=False),
    Column("note", Text),
    Column("schema_version", Integer, nullable=False),
    Column("request", Json, nullable=False),
    Column("result", Json),
    Column("problem", Json),
)
_READY = text("state = 'pending' AND blockers = 0")
_WAITING = text("state = 'pending' AND blockers > 0")
_RUNNING = text("state = 'running'")
_UNWANTED = text("cancel_at IS NOT NULL AND lease_id IS NOT NULL")
_ENDED = text("finished_at IS NOT NULL")
_HELD = text("unique_key IS NOT NULL AND state IN ('pending', 'running')")
Index(
    "forgehand_jobs_claim",
    jobs.c.type,
    jobs.c.priority,
    jobs.c.run_at,
    jobs.c.id,
    postgresql_where=_READY,
    sqlite_where=_READY,
)
Index("forgehand_jobs_waiting", jobs.c.id, postgresql_where=_WAITING, sqlite_where=_WAITING)
Index("forgehand_jobs_unwanted", jobs.c.worker_id, postgresql_where=_UNWANTED, sqlite_where=_UNWANTED)
Index(
    "forgehand_jobs_ended",
    jobs.c.type,
    jobs.c.state,
    jobs.c.finished_at,
    postgresql_where=_ENDED,
    sqlite_where=_ENDED,
)
Index("forgehand_jobs_running", jobs.c.worker_id, postgresql_where=_RUNNING, sqlite_where=_RUNNING)
Index("forgehand_jobs_newest", jobs.c.created_at, jobs.c.id)
Index(
    "forgehand_jobs_unique_key",
    jobs.c.type,
    jobs.c.unique_key,
    unique=True,
    postgresql_where=_HELD,
    sqlite_where=_HELD,
)

attempts = Table(
    "forgehand_attempts",
    metadata,
    Column("lease_id", Uuid),
    Column("job_id", Uuid),
    Column("type", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("started_at", Micros, nullable=False),
    Column("ended_at", Micros),
    Column("outcome", Text),
    Column("problem", Json),
    PrimaryKeyConstraint("job_id", "lease_id"),
    Index("forgehand_attempts_rate", "type", "started_at"),
    # Each row is written twice: with room beside it the second time touches no index.
    postgresql_with={"fillfactor": 50},
)

events = Table(
    "forgehand_events",
    metadata,
    # On PostgreSQL no key: each row is in two indexes with its sequence already.
    Column("sequence", Sequence, primary_key=True, autoincrement=True),
    Column("job_id", Uuid, nullable=False),
    Column("at", Micros, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Json, nullable=False),
    # Sequences are handed out before they are committed: who reads on must know what is still to come.
    Column("tx", BigInteger, nullable=False, server_default=CurrentTransaction()),
    Index("forgehand_events_job", "job_id", "sequence"),
    Index("forgehand_events_stream", "tx", "sequence"),
    sqlite_autoincrement=True,
)

dependencies = Table(
    "forgehand_dependencies",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("parent_id", Uuid, primary_key=True),
    Column("on_failure", Text, nullable=False),
    Index("forgehand_dependencies_parent", "parent_id"),
)

paused_types = Table(
    "forgehand_paused_types",
    metadata,
    Column("type", Text, primary_key=True),
    Column("paused_at", Micros, nullable=False),
)

schedules = Table(
    "forgehand_schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("request", Json, nullable=False),
    Column("timing", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("overlap", Text, nullable=False),
    Column("catch_up", Text, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("paused_at", Micros),
    Column("next_at", Micros),
    Column("last_at", Micros),
    Column("last_job_id", Uuid),
    Column("fired", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False),
    Column("missed_at", Micros),
    Index("forgehand_schedules_next", "next_at"),
)

steps = Table(
    "forgehand_steps",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Json, nullable=False),
)

workers = Table(
    "forgehand_workers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("label", Text, nullable=False),
    Column("started_at", Micros, nullable=False),
    Column("seen_at", Micros, nullable=False),
)

idempotency_keys = Table(
    "forgehand_idempotency_keys",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("created_at", Micros, nullable=False),
)

documentations = Table(
    "forgehand_documentations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("repo", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("url", Text),
    Column("head_sha", Text, nullable=False),
    Column("diff_hash", Text, nullable=False),
    Column("prompt_version", Text, nullable=False),
    Column("model", Text),
    Column("facts", Json, nullable=False),
    Column("coverage", Json, nullable=False),
    Column("narrative", Json),
    Column("usage", Json, nullable=False),
    Column("created_at", Micros, nullable=False),
    UniqueConstraint("repo", "number", "version", name="forgehand_documentations_version"),
    UniqueConstraint("repo", "number", "fingerprint", name="forgehand_documentations_fingerprint"),
    Index("forgehand_documentations_newest", "created_at", "id"),
)

pull_requests = Table(
    "forgehand_pull_requests",
    metadata,
    Column("repo", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("url", Text),
    Column("base_sha", Text, nullable=False),
    Column("head_sha", Text, nullable=False),
    Column("merged_at", Micros),
    Column("status", Text, nullable=False),
    Column("documentation_id", Uuid),
    Column("published_url", Text),
    Column("problem", Text),
)

tokens = Table(
    "forgehand_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Micros, nullable=False),
    Column("revoked_at", Micros),
)
_IN_USE = text("revoked_at IS NULL")
Index("forgehand_tokens_name", tokens.c.name, unique=True, postgresql_where=_IN_USE, sqlite_where=_IN_USE)
