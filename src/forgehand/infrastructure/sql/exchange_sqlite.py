"""Settle and claim on SQLite: a few statements in the one writer's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from sqlite3 import Connection
from typing import Any
from uuid import UUID

from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.domain.jobs import Priority
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.exchange import Answer, bounds
from forgehand.infrastructure.sql.tables import to_micros

_HELD = """
SELECT json_extract(g.value, '$.lease_id') FROM json_each(:given) AS g JOIN forgehand_jobs AS j
ON j.id = json_extract(g.value, '$.job_id') AND j.lease_id = json_extract(g.value, '$.lease_id')
"""
# A job that somebody wants cancelled does not go back to pending.
_SETTLE = """
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
"""
_END_ATTEMPTS = """
UPDATE forgehand_attempts AS a
SET ended_at = json_extract(g.value, '$.at'), outcome = json_extract(g.value, '$.outcome'),
    problem = json_extract(g.value, '$.problem')
FROM json_each(:given) AS g
WHERE a.job_id = json_extract(g.value, '$.job_id') AND a.lease_id = json_extract(g.value, '$.lease_id')
"""
_TELL = """
INSERT INTO forgehand_events (job_id, at, kind, data)
SELECT j.id, json_extract(g.value, '$.at'),
       CASE WHEN j.state = 'cancelled' THEN 'cancelled' ELSE json_extract(g.value, '$.kind') END,
       json_extract(g.value, '$.data')
FROM json_each(:given) AS g JOIN forgehand_jobs AS j ON j.id = json_extract(g.value, '$.job_id')
"""
_HAVE_CHILDREN = """
SELECT EXISTS (SELECT 1 FROM json_each(:given) AS g JOIN forgehand_dependencies AS d
               ON d.parent_id = json_extract(g.value, '$.job_id'))
"""
_UNWANTED = """
SELECT lease_id FROM forgehand_jobs
WHERE worker_id = :worker AND cancel_at IS NOT NULL AND lease_id IS NOT NULL
"""
# Each priority is a range of the claim index, so jobs that are not due yet cost nothing.
_DUE = """
SELECT priority, run_at, id FROM forgehand_jobs
WHERE type = :queue AND priority = :priority AND state = 'pending' AND blockers = 0 AND run_at <= :now
  AND (:only IS NULL OR id = :only)
ORDER BY run_at, id LIMIT :most
"""
_CLAIM = """
UPDATE forgehand_jobs
SET state = 'running', attempts = attempts + 1, lease_id = :lease, worker_id = :worker,
    started_at = coalesce(started_at, :now), finished_at = NULL
WHERE id = :id
RETURNING *
"""
_BEGIN_ATTEMPT = """
INSERT INTO forgehand_attempts (lease_id, job_id, type, number, worker, started_at)
VALUES (:lease_id, :id, :type, :attempts, :label, :now)
"""
_TELL_START = """
INSERT INTO forgehand_events (job_id, at, kind, data)
VALUES (:id, :now, 'started', json_object('attempt', :attempts, 'worker', :label))
"""
_PRIORITIES = sorted(Priority, reverse=True)


async def run(database: Database, worker: Worker, given: str, wanted: Wanted | None, now: datetime) -> Answer:
    return await database.write_at_once(
        partial(_exchange, worker=worker, given=given, wanted=wanted, now=now)
    )


def _exchange(
    connection: Connection, *, worker: Worker, given: str, wanted: Wanted | None, now: datetime
) -> Answer:
    answer = Answer()
    if given != "[]":
        answer.settled, answer.has_children = _settle(connection, given)
    unwanted = connection.execute(_UNWANTED, {"worker": worker.id.hex})
    answer.cancelled = {UUID(lease) for (lease,) in unwanted}
    if wanted:
        answer.claimed = list(_claim(connection, worker, wanted, now))
    return answer


def _settle(connection: Connection, given: str) -> tuple[set[UUID], bool]:
    accepted = {lease for (lease,) in connection.execute(_HELD, {"given": given})}
    if not accepted:
        return set(), False
    kept = {"given": json.dumps([item for item in json.loads(given) if item["lease_id"] in accepted])}
    for statement in (_SETTLE, _END_ATTEMPTS, _TELL):
        connection.execute(statement, kept)
    [(has_children,)] = connection.execute(_HAVE_CHILDREN, kept)
    return {UUID(lease) for lease in accepted}, bool(has_children)


def _claim(connection: Connection, worker: Worker, wanted: Wanted, now: datetime) -> Iterator[rows.Columns]:
    paused = {queue for (queue,) in connection.execute("SELECT type FROM forgehand_paused_types")}
    due: list[tuple[int, int, str]] = []
    for share in wanted.shares:
        if share.queue not in paused:
            due += _due(connection, share, wanted, now)
    due.sort(key=lambda it: (-it[0], it[1:]))
    started = {"worker": worker.id.hex, "label": worker.label, "now": to_micros(now)}
    for (*_, job_id), lease in zip(due, wanted.lease_ids, strict=False):
        claimed = connection.execute(_CLAIM, {"id": job_id, "lease": lease.hex, **started})
        names = [name for name, *_ in claimed.description]
        row = dict(zip(names, claimed.fetchone(), strict=True))
        connection.execute(_BEGIN_ATTEMPT, row | started)
        connection.execute(_TELL_START, row | started)
        yield rows.columns_of_sqlite(row)


def _due(
    connection: Connection, share: Share, wanted: Wanted, now: datetime
) -> Sequence[tuple[int, int, str]]:
    room = min(share.slots, len(wanted.lease_ids))
    for bound in bounds(share, now) if room > 0 else ():
        [(taken,)] = connection.execute(bound.count, bound.parameters)
        room = min(room, bound.most - taken)
    only = wanted.only and wanted.only.hex
    sought: dict[str, Any] = {"queue": share.queue, "now": to_micros(now), "only": only}
    found: list[tuple[int, int, str]] = []
    for priority in _PRIORITIES:
        if len(found) < room:
            left = {"priority": priority.value, "most": room - len(found)}
            found += connection.execute(_DUE, sought | left)
    return found
