"""Settle and claim on PostgreSQL: one statement, one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Uuid

from forgehand.application.ports.leases import Wanted, Worker
from forgehand.infrastructure.sql.tables import Micros, jobs

_COLUMNS = ", ".join(f"claimed.{column.name}" for column in jobs.c)

# A settlement is fenced by (id, lease) alone: naming the state too would make it scan the running index.
_STATEMENT = (
    text(f"""
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(
    job_id uuid, lease_id uuid, state text, outcome text, at bigint, run_at bigint, finished_at bigint,
    result jsonb, problem jsonb, unspent int, kind text, data jsonb)
), settled AS (
  UPDATE forgehand_jobs j
  SET state = g.state, run_at = coalesce(g.run_at, j.run_at), finished_at = g.finished_at, result = g.result,
      problem = g.problem, attempts = j.attempts - g.unspent, lease_id = NULL, worker_id = NULL,
      progress = CASE WHEN g.state = 'completed' THEN 100 ELSE j.progress END
  FROM given g WHERE j.id = g.job_id AND j.lease_id = g.lease_id
  RETURNING g.lease_id
), ended AS (
  UPDATE forgehand_attempts a SET ended_at = g.at, outcome = g.outcome, problem = g.problem
  FROM given g JOIN settled s ON s.lease_id = g.lease_id WHERE a.lease_id = g.lease_id
), picked AS MATERIALIZED (
  SELECT id, priority, run_at FROM forgehand_jobs
  WHERE state = 'pending' AND run_at <= :now AND type = ANY(:queues)
    AND (CAST(:only AS uuid) IS NULL OR id = CAST(:only AS uuid))
  ORDER BY priority DESC, run_at, id LIMIT :slots FOR UPDATE SKIP LOCKED
), numbered AS (
  SELECT id, row_number() OVER (ORDER BY priority DESC, run_at, id) AS n FROM picked
), claimed AS (
  UPDATE forgehand_jobs j
  SET state = 'running', attempts = j.attempts + 1, lease_id = l.id, worker_id = :worker,
      started_at = coalesce(j.started_at, :now), finished_at = NULL
  FROM numbered p JOIN unnest(CAST(:leases AS uuid[])) WITH ORDINALITY AS l(id, n) ON l.n = p.n
  WHERE j.id = p.id
  RETURNING j.*
), begun AS (
  INSERT INTO forgehand_attempts (lease_id, job_id, number, worker, started_at)
  SELECT lease_id, id, attempts, :label, :now FROM claimed
), told AS (
  INSERT INTO forgehand_events (job_id, at, kind, data)
  SELECT g.job_id, g.at, g.kind, g.data FROM given g JOIN settled s ON s.lease_id = g.lease_id
  UNION ALL
  SELECT id, :now, 'started', jsonb_build_object('attempt', attempts, 'worker', CAST(:label AS text))
  FROM claimed
)
SELECT (SELECT array_agg(lease_id) FROM settled) AS settled_leases, {_COLUMNS}
FROM (SELECT 1) AS always LEFT JOIN claimed ON true
""")  # noqa: S608 - the columns are our own table's
    .bindparams(
        bindparam("now", type_=Micros),
        bindparam("queues", type_=ARRAY(Text)),
        bindparam("leases", type_=ARRAY(Uuid)),
        bindparam("worker", type_=Uuid),
        bindparam("label", type_=Text),
        bindparam("only", type_=Uuid),
    )
    .columns(settled_leases=ARRAY(Uuid), **{column.name: column.type for column in jobs.c})
)


async def run(
    connection: AsyncConnection, worker: Worker, given: str, wanted: Wanted | None, now: datetime
) -> tuple[Sequence[Row[Any]], set[UUID]]:
    """The rows claimed, and the leases whose settlement was accepted."""
    result = await connection.execute(
        _STATEMENT,
        {
            "given": given,
            "now": now,
            "queues": sorted(wanted.queues) if wanted else [],
            "leases": list(wanted.lease_ids) if wanted else [],
            "slots": len(wanted.lease_ids) if wanted else 0,
            "only": wanted.only if wanted else None,
            "worker": worker.id,
            "label": worker.label,
        },
    )
    found = result.all()
    return [row for row in found if row.id is not None], set(found[0].settled_leases or ())
