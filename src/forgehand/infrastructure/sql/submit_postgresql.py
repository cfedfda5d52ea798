"""Storing plain jobs on PostgreSQL: one statement, one round trip, no transaction to open and close."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from asyncpg import UniqueViolationError  # type: ignore[import-untyped]

from forgehand.application.ports.jobs import NewJob
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.rows import tags_text, timeout_ms
from forgehand.infrastructure.sql.tables import to_micros

_STORE = """
WITH stored AS (
  INSERT INTO forgehand_jobs (id, type, state, priority, run_at, created_at, attempts, max_attempts,
    timeout_ms, submitted_by, on_behalf_of, tags, blockers, progress, schema_version, request)
  SELECT id, type, 'pending', priority, run_at, $1, 0, max_attempts, timeout_ms,
    submitted_by, on_behalf_of, tags, 0, 0, schema_version, CAST(request AS jsonb)
  FROM unnest($2::uuid[], $3::text[], $4::int[], $5::bigint[], $6::int[], $7::bigint[],
    $8::text[], $9::text[], $10::text[], $11::int[], $12::text[])
    AS n(id, type, priority, run_at, max_attempts, timeout_ms,
    submitted_by, on_behalf_of, tags, schema_version, request)
  RETURNING id, submitted_by
)
INSERT INTO forgehand_events (job_id, at, kind, data)
SELECT id, $1, 'submitted', jsonb_build_object('by', submitted_by) FROM stored
"""


def is_plain(job: NewJob) -> bool:
    """Whether no other job can stand in its way, but one with its id."""
    return job.idempotency is None and job.unique_key is None and not job.after


async def store_plain(database: Database, new: Sequence[NewJob], now: datetime) -> bool:
    """Store all of `new`. False where an id is in use: then none is stored."""
    rows = [
        (
            it.id,
            it.type,
            it.priority.value,
            to_micros(it.run_at),
            it.max_attempts,
            timeout_ms(it),
            it.submitted_by,
            it.on_behalf_of,
            tags_text(it),
            it.schema_version,
            json.dumps(it.request),
        )
        for it in new
    ]
    try:
        async with database.driver() as connection:
            await connection.fetch(
                _STORE, to_micros(now), *(list(column) for column in zip(*rows, strict=True))
            )
    except UniqueViolationError:
        return False
    return True
