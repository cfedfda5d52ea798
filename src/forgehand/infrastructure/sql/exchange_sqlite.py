"""Settle and claim on SQLite: a few statements in the one writer's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, exists, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Uuid

from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.domain.jobs import EventKind, JobState, Priority
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.exchange import Answer, room_for
from forgehand.infrastructure.sql.tables import attempts, dependencies, events, jobs, paused_types, to_micros

_HELD = text("""
SELECT json_extract(g.value, '$.lease_id') FROM json_each(:given) AS g JOIN forgehand_jobs AS j
ON j.id = json_extract(g.value, '$.job_id') AND j.lease_id = json_extract(g.value, '$.lease_id')
""")
# A job that somebody wants cancelled does not go back to pending.
_SETTLE = text("""
UPDATE forgehand_jobs AS j
SET state = CASE WHEN j.cancel_at IS NOT NULL AND json_extract(g.value, '$.state') = 'pending'
                 THEN 'cancelled' ELSE json_extract(g.value, '$.state') END,
    finished_at = json_extract(g.value, CASE WHEN j.cancel_at IS NULL THEN '$.finished_at' ELSE '$.at' END),
    run_at = coalesce(json_extract(g.value, '$.run_at'), j.run_at),
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
SELECT j.id, json_extract(g.value, '$.at'),
       CASE WHEN j.state = 'cancelled' THEN 'cancelled' ELSE json_extract(g.value, '$.kind') END,
       json_extract(g.value, '$.data')
FROM json_each(:given) AS g JOIN forgehand_jobs AS j ON j.id = json_extract(g.value, '$.job_id')
""")


async def run(database: Database, worker: Worker, given: str, wanted: Wanted | None, now: datetime) -> Answer:
    answer = Answer()
    async with database.write() as connection:
        if given != "[]":
            answer.settled = await _settle(connection, given)
            answer.has_children = await _have_children(connection, answer.settled)
        unwanted = select(jobs.c.lease_id).where(
            jobs.c.worker_id == worker.id, jobs.c.cancel_at.is_not(None), jobs.c.lease_id.is_not(None)
        )
        answer.cancelled = set((await connection.scalars(unwanted)).all())
        if wanted:
            answer.claimed = [rows.columns(row) for row in await _claim(connection, worker, wanted, now)]
    return answer


async def _settle(connection: AsyncConnection, given: str) -> set[UUID]:
    accepted = set((await connection.scalars(_HELD, {"given": given})).all())
    if accepted:
        kept = json.dumps([item for item in json.loads(given) if item["lease_id"] in accepted])
        for statement in (_SETTLE, _END_ATTEMPTS, _TELL):
            await connection.execute(statement, {"given": kept})
    return {UUID(lease) for lease in accepted}


async def _have_children(connection: AsyncConnection, settled: set[UUID]) -> bool:
    if not settled:
        return False
    parents = select(attempts.c.job_id).where(attempts.c.lease_id.in_(settled))
    query = select(exists().where(dependencies.c.parent_id.in_(parents)))
    return bool(await connection.scalar(query))


async def _claim(
    connection: AsyncConnection, worker: Worker, wanted: Wanted, now: datetime
) -> list[Row[Any]]:
    paused = set((await connection.scalars(select(paused_types.c.type))).all())
    due: list[Row[Any]] = []
    for share in wanted.shares:
        if share.queue not in paused:
            due += await _due(connection, share, wanted, now)
    due.sort(key=lambda row: (-row.priority, row.run_at, row.id))
    taken = [{"job": row.id, "lease": lease} for row, lease in zip(due, wanted.lease_ids, strict=False)]
    if not taken:
        return []
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
    mine = select(jobs).where(jobs.c.id.in_([it["job"] for it in taken]))
    claimed = list((await connection.execute(mine)).all())
    await connection.execute(insert(attempts), [_attempt(row, worker, now) for row in claimed])
    await connection.execute(insert(events), [_started(row, worker, now) for row in claimed])
    return claimed


async def _due(
    connection: AsyncConnection, share: Share, wanted: Wanted, now: datetime
) -> Sequence[Row[Any]]:
    """Each priority is a range of the claim index, so jobs that are not due yet cost nothing."""
    found: list[Any] = []
    room = min(share.slots, len(wanted.lease_ids))
    if room > 0 and share.limited:
        room = min(room, await room_for(connection, share, now))
    for priority in sorted(Priority, reverse=True):
        if len(found) >= room:
            break
        query = (
            select(jobs.c.id, jobs.c.priority, jobs.c.run_at)
            .where(jobs.c.type == share.queue, jobs.c.priority == priority.value, jobs.c.run_at <= now)
            .where(text("state = 'pending' AND blockers = 0"))
            .order_by(jobs.c.run_at, jobs.c.id)
            .limit(room - len(found))
        )
        if wanted.only is not None:
            query = query.where(jobs.c.id == wanted.only)
        found.extend(iter(await connection.execute(query)))
    return found


def _attempt(row: Row[Any], worker: Worker, now: datetime) -> dict[str, Any]:
    return {
        "lease_id": row.lease_id,
        "job_id": row.id,
        "type": row.type,
        "number": row.attempts,
        "worker": worker.label,
        "started_at": now,
    }


def _started(row: Row[Any], worker: Worker, now: datetime) -> dict[str, Any]:
    data = {"attempt": row.attempts, "worker": worker.label}
    return {"job_id": row.id, "at": now, "kind": EventKind.STARTED.value, "data": data}
