"""Settle and claim on SQLite: a few statements in the one writer's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Uuid

from forgehand.application.ports.leases import Wanted, Worker
from forgehand.domain.jobs import EventKind, JobState
from forgehand.infrastructure.sql.tables import attempts, events, jobs, to_micros

_HELD = text("""
SELECT json_extract(g.value, '$.lease_id') FROM json_each(:given) AS g JOIN forgehand_jobs AS j
ON j.id = json_extract(g.value, '$.job_id') AND j.lease_id = json_extract(g.value, '$.lease_id')
""")
_SETTLE = text("""
UPDATE forgehand_jobs AS j
SET state = json_extract(g.value, '$.state'),
    run_at = coalesce(json_extract(g.value, '$.run_at'), j.run_at),
    finished_at = json_extract(g.value, '$.finished_at'),
    result = json_extract(g.value, '$.result'),
    problem = json_extract(g.value, '$.problem'),
    attempts = j.attempts - (json_extract(g.value, '$.unspent')),
    lease_id = NULL, worker_id = NULL,
    progress = CASE WHEN json_extract(g.value, '$.state') = 'completed' THEN 100 ELSE j.progress END
FROM json_each(:given) AS g
WHERE j.id = json_extract(g.value, '$.job_id')
""")
_END_ATTEMPTS = text("""
UPDATE forgehand_attempts AS a
SET ended_at = json_extract(g.value, '$.at'), outcome = json_extract(g.value, '$.outcome'),
    problem = json_extract(g.value, '$.problem')
FROM json_each(:given) AS g WHERE a.lease_id = json_extract(g.value, '$.lease_id')
""")
_TELL = text("""
INSERT INTO forgehand_events (job_id, at, kind, data)
SELECT json_extract(g.value, '$.job_id'), json_extract(g.value, '$.at'), json_extract(g.value, '$.kind'),
       json_extract(g.value, '$.data')
FROM json_each(:given) AS g
""")


async def run(
    connection: AsyncConnection, worker: Worker, given: str, wanted: Wanted | None, now: datetime
) -> tuple[Sequence[Row[Any]], set[UUID]]:
    """The rows claimed, and the leases whose settlement was accepted."""
    settled = await _settle(connection, given) if given != "[]" else set()
    claimed = await _claim(connection, worker, wanted, now) if wanted else []
    return claimed, settled


async def _settle(connection: AsyncConnection, given: str) -> set[UUID]:
    accepted = set((await connection.scalars(_HELD, {"given": given})).all())
    if accepted:
        kept = json.dumps([item for item in json.loads(given) if item["lease_id"] in accepted])
        for statement in (_SETTLE, _END_ATTEMPTS, _TELL):
            await connection.execute(statement, {"given": kept})
    return {UUID(lease) for lease in accepted}


async def _claim(
    connection: AsyncConnection, worker: Worker, wanted: Wanted, now: datetime
) -> Sequence[Row[Any]]:
    due = (
        select(jobs.c.id)
        .where(
            jobs.c.state == text("'pending'"), jobs.c.run_at <= now, jobs.c.type.in_(sorted(wanted.queues))
        )
        .order_by(jobs.c.priority.desc(), jobs.c.run_at, jobs.c.id)
        .limit(len(wanted.lease_ids))
    )
    if wanted.only is not None:
        due = due.where(jobs.c.id == wanted.only)
    ids = (await connection.scalars(due)).all()
    if not ids:
        return []
    taken = [{"job": job, "lease": lease} for job, lease in zip(ids, wanted.lease_ids, strict=False)]
    await connection.execute(
        update(jobs)
        .where(jobs.c.id == bindparam("job", type_=Uuid))
        .values(
            state=JobState.RUNNING.value,
            attempts=jobs.c.attempts + 1,
            lease_id=bindparam("lease", type_=Uuid),
            worker_id=worker.id,
            started_at=text(f"coalesce(started_at, {to_micros(now)})"),
            finished_at=None,
        ),
        taken,
    )
    claimed = (await connection.execute(select(jobs).where(jobs.c.id.in_(ids)))).all()
    await connection.execute(insert(attempts), [_attempt(row, worker, now) for row in claimed])
    await connection.execute(insert(events), [_started(row, worker, now) for row in claimed])
    return claimed


def _attempt(row: Row[Any], worker: Worker, now: datetime) -> dict[str, Any]:
    return {
        "lease_id": row.lease_id,
        "job_id": row.id,
        "number": row.attempts,
        "worker": worker.label,
        "started_at": now,
    }


def _started(row: Row[Any], worker: Worker, now: datetime) -> dict[str, Any]:
    data = {"attempt": row.attempts, "worker": worker.label}
    return {"job_id": row.id, "at": now, "kind": EventKind.STARTED.value, "data": data}
