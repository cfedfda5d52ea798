"""Settle and claim on PostgreSQL in one statement; one more for each limited queue with work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.types import Uuid

from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.domain.jobs import Priority
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.exchange import Answer, bounds
from forgehand.infrastructure.sql.tables import Micros, jobs, to_micros

_PRIORITIES = ", ".join(f"({priority.value})" for priority in sorted(Priority, reverse=True))
_COLUMNS = ", ".join(f"claimed.{column.name}" for column in jobs.c)

# A settlement is fenced by (id, lease) alone: naming the state too would make it scan the running index.
# A job that somebody wants cancelled does not go back to pending.
_SETTLE = """
given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(
    job_id uuid, lease_id uuid, state text, outcome text, at bigint, run_at bigint, finished_at bigint,
    result jsonb, problem jsonb, unspent int, kind text, data jsonb)
), settled AS (
  UPDATE forgehand_jobs j
  SET state = CASE WHEN g.state = 'pending' AND j.cancel_at IS NOT NULL THEN 'cancelled' ELSE g.state END,
      finished_at = CASE WHEN j.cancel_at IS NOT NULL THEN g.at ELSE g.finished_at END,
      run_at = coalesce(g.run_at, j.run_at), result = g.result,
      problem = g.problem, attempts = j.attempts - g.unspent, lease_id = NULL, worker_id = NULL,
      progress = CASE WHEN g.state = 'completed' THEN 100 ELSE j.progress END
  FROM given g WHERE j.id = g.job_id AND j.lease_id = g.lease_id
  RETURNING j.id, j.state, g.lease_id, g.at, g.outcome, g.problem, g.kind, g.data
), ended AS (
  UPDATE forgehand_attempts a SET ended_at = s.at, outcome = s.outcome, problem = s.problem
  FROM settled s WHERE a.job_id = s.id AND a.lease_id = s.lease_id
), settled_told AS (
  INSERT INTO forgehand_events (job_id, at, kind, data)
  SELECT id, at, CASE WHEN state = 'cancelled' THEN 'cancelled' ELSE kind END, data FROM settled
)"""

# Each priority is a range of the claim index of its own, so jobs that are not due yet cost nothing.
_CLAIM = f"""
share AS MATERIALIZED (
  SELECT * FROM unnest(CAST(:queues AS text[]), CAST(:slots AS int[])) AS q(type, slots)
  WHERE NOT EXISTS (SELECT 1 FROM forgehand_paused_types p WHERE p.type = q.type)
), picked AS MATERIALIZED (
  SELECT q.type, q.slots, j.id, j.priority, j.run_at
  FROM share q CROSS JOIN (VALUES {_PRIORITIES}) AS p(priority) CROSS JOIN LATERAL (
    SELECT id, priority, run_at FROM forgehand_jobs
    WHERE type = q.type AND priority = p.priority AND state = 'pending' AND blockers = 0 AND run_at <= :now
      AND (CAST(:only AS uuid) IS NULL OR id = CAST(:only AS uuid))
    ORDER BY run_at, id LIMIT q.slots FOR UPDATE SKIP LOCKED
  ) j
), shared AS (
  SELECT *, row_number() OVER (PARTITION BY type ORDER BY priority DESC, run_at, id) AS place FROM picked
), chosen AS (
  SELECT id, row_number() OVER (ORDER BY priority DESC, run_at, id) AS n FROM shared WHERE place <= slots
), claimed AS (
  UPDATE forgehand_jobs j
  SET state = 'running', attempts = j.attempts + 1, lease_id = l.id, worker_id = :worker,
      started_at = coalesce(j.started_at, :now), finished_at = NULL
  FROM chosen c JOIN unnest(CAST(:leases AS uuid[])) WITH ORDINALITY AS l(id, n) ON l.n = c.n
  WHERE j.id = c.id
  RETURNING j.*
), begun AS (
  INSERT INTO forgehand_attempts (lease_id, job_id, type, number, worker, started_at)
  SELECT lease_id, id, type, attempts, :label, :now FROM claimed
), claimed_told AS (
  INSERT INTO forgehand_events (job_id, at, kind, data)
  SELECT id, :now, 'started', jsonb_build_object('attempt', attempts, 'worker', CAST(:label AS text))
  FROM claimed
)"""  # noqa: S608 - nothing but our own constants

_TYPES: dict[str, Any] = {
    "given": Text,
    "now": Micros,
    "queues": ARRAY(Text),
    "slots": ARRAY(Integer),
    "leases": ARRAY(Uuid),
    "limited": ARRAY(Text),
    "worker": Uuid,
    "label": Text,
    "only": Uuid,
}


def _bound(names: str) -> list[Any]:
    return [bindparam(name, type_=_TYPES[name]) for name in names.split()]


_EXCHANGE = text(f"""
WITH {_SETTLE}, {_CLAIM}, summary AS (
  SELECT (SELECT array_agg(lease_id) FROM settled) AS settled_leases,
    (SELECT array_agg(lease_id) FROM forgehand_jobs
      WHERE worker_id = :worker AND cancel_at IS NOT NULL AND lease_id IS NOT NULL) AS cancelled_leases,
    EXISTS (SELECT 1 FROM settled s JOIN forgehand_dependencies d ON d.parent_id = s.id) AS has_children,
    (SELECT array_agg(type) FROM unnest(CAST(:limited AS text[])) AS q(type) WHERE EXISTS (
      SELECT 1 FROM forgehand_jobs j
      WHERE j.type = q.type AND state = 'pending' AND blockers = 0 AND run_at <= :now)) AS due_queues
)
SELECT settled_leases, cancelled_leases, has_children, due_queues, {_COLUMNS}
FROM summary FULL JOIN claimed ON false
""")  # noqa: S608
_COMPILED = _EXCHANGE.bindparams(*_bound("given now queues slots leases limited worker label only")).compile(
    dialect=dialect()  # type: ignore[no-untyped-call]
)
_FOR_DRIVER, _PARAMETERS = str(_COMPILED), _COMPILED.positiontup or ()
_CLAIM_ALONE = (
    text(f"WITH {_CLAIM} SELECT {_COLUMNS} FROM claimed")  # noqa: S608
    .bindparams(*_bound("now queues slots leases worker label only"))
    .columns(**{column.name: column.type for column in jobs.c})
)
_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext(:queue))")
_LIMIT_LOCK = 0x6C696D  # "lim": beside the hash of the queue's name


async def run(database: Database, worker: Worker, given: str, wanted: Wanted | None, now: datetime) -> Answer:
    shares = wanted.shares if wanted else ()
    leases = list(wanted.lease_ids) if wanted else []
    free = [share for share in shares if not share.limited and share.slots > 0]
    limited = [share for share in shares if share.limited and share.slots > 0]
    parameters = {
        "given": given,
        "now": to_micros(now),
        "queues": [share.queue for share in free],
        "slots": [min(share.slots, len(leases)) for share in free],
        "leases": leases,
        "limited": [share.queue for share in limited],
        "only": wanted.only if wanted else None,
        "worker": worker.id,
        "label": worker.label,
    }
    async with database.driver() as connection:
        found = await connection.fetch(_FOR_DRIVER, *[parameters[name] for name in _PARAMETERS])
    [summary] = [record for record in found if record["id"] is None]
    answer = Answer(
        [rows.columns_of_driver(record) for record in found if record["id"] is not None],
        set(summary["settled_leases"] or ()),
        set(summary["cancelled_leases"] or ()),
        summary["has_children"],
    )
    due = set(summary["due_queues"] or ())
    left = leases[len(answer.claimed) :]
    if left and due:
        shares = [share for share in limited if share.queue in due]
        limits = {**parameters, "leases": left, "now": now}
        answer.claimed += await _claim_limited(database, shares, limits, now)
    return answer


async def _claim_limited(
    database: Database, shares: Sequence[Share], parameters: dict[str, Any], now: datetime
) -> list[rows.Columns]:
    """Under the queues' locks, so that no two workers count the same room; in one order, as all do."""
    async with database.write() as connection:
        rooms: dict[str, int] = {}
        for share in sorted(shares, key=lambda share: share.queue):
            await connection.execute(_LOCK, {"space": _LIMIT_LOCK, "queue": share.queue})
            room = min(len(parameters["leases"]), share.slots)
            for bound in bounds(share, now):
                taken = await connection.scalar(text(bound.count), bound.parameters)
                room = min(room, bound.most - (taken or 0))
            if room > 0:
                rooms[share.queue] = room
        if not rooms:
            return []
        kept = {name: parameters[name] for name in ("now", "leases", "only", "worker", "label")}
        claim = {**kept, "queues": list(rooms), "slots": list(rooms.values())}
        return [rows.columns(row) for row in await connection.execute(_CLAIM_ALONE, claim)]
