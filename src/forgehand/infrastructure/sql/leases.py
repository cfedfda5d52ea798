"""The job store for workers: claims, fenced writes, rescue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, case, delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.leases import Exchange, LeaseLost, Swept, Wanted, Worker
from forgehand.domain.jobs import (
    AttemptOutcome,
    Claimed,
    EventKind,
    Job,
    JobProblem,
    JobState,
    JsonObject,
    Lease,
    Settlement,
)
from forgehand.infrastructure.sql import exchange_postgresql, exchange_sqlite, rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import attempts, events, jobs, steps, to_micros, workers


class SqlLeases:
    """Port Leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        wanted = wanted if wanted is not None and wanted.lease_ids else None
        if not settlements and wanted is None:
            return Exchange()
        given = json.dumps([_given(settlement) for settlement in settlements])
        async with self._database.statement() as connection:
            run = exchange_sqlite.run if self._database.sqlite else exchange_postgresql.run
            claimed, settled = await run(connection, worker, given, wanted, now)
        held = [_claimed(rows.job(row)) for row in claimed]
        held.sort(key=lambda it: (-it.job.priority, it.job.run_at, it.job.id))
        lost = {settlement.lease.id for settlement in settlements} - settled
        return Exchange(tuple(held), frozenset(lost))

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        query = select(jobs).where(jobs.c.state == JobState.RUNNING.value, jobs.c.worker_id == worker.id)
        async with self._database.read() as connection:
            return [_claimed(rows.job(row)) for row in await connection.execute(query)]

    async def report(self, lease: Lease, kind: EventKind, data: JsonObject, now: datetime) -> None:
        async with self._database.write() as connection:
            if kind is EventKind.PROGRESS:
                change = update(jobs).values(progress=data["percent"], note=data.get("note"))
                await _require(await connection.execute(change.where(*_fence(lease))), lease)
            else:
                await _lock(connection, lease)
            row = {"job_id": lease.job_id, "at": now, "kind": kind.value, "data": dict(data)}
            await connection.execute(insert(events).values(row))

    async def recall(self, lease: Lease, key: str) -> JsonObject | None:
        query = select(steps.c.value).where(steps.c.job_id == lease.job_id, steps.c.key == key)
        async with self._database.read() as connection:
            value: JsonObject | None = await connection.scalar(query)
            return value

    async def remember(self, lease: Lease, key: str, value: JsonObject) -> None:
        dialect = sqlite if self._database.sqlite else postgresql
        async with self._database.write() as connection:
            await _lock(connection, lease)
            row = {"job_id": lease.job_id, "key": key, "value": dict(value)}
            await connection.execute(dialect.insert(steps).values(row).on_conflict_do_nothing())

    async def beat(self, worker: Worker, now: datetime) -> None:
        dialect = sqlite if self._database.sqlite else postgresql
        row = {"id": worker.id, "label": worker.label, "started_at": now, "seen_at": now}
        statement = dialect.insert(workers).values(row)
        async with self._database.statement() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=[workers.c.id], set_={"seen_at": now})
            )

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        alive = exists().where(workers.c.id == jobs.c.worker_id, workers.c.seen_at >= now - lease_time)
        orphaned = (
            select(jobs.c.id, jobs.c.lease_id, jobs.c.attempts, jobs.c.max_attempts)
            .where(jobs.c.state == JobState.RUNNING.value, ~alive)
            .with_for_update(skip_locked=True)
        )
        waiting = (
            select(jobs.c.type).where(jobs.c.state == JobState.PENDING.value, jobs.c.run_at <= now).distinct()
        )
        async with self._database.write() as connection:
            lost = (await connection.execute(orphaned)).all()
            if lost:
                await _rescue(connection, [row.id for row in lost], [row.lease_id for row in lost], now)
                await connection.execute(insert(events), [_lost_event(row, now) for row in lost])
            await connection.execute(delete(workers).where(workers.c.seen_at < now - 10 * lease_time))
            due = (await connection.scalars(waiting)).all()
        return Swept(len(lost), frozenset(due))


_LOST = JobProblem("WorkerLost", "the worker that ran this attempt was not seen any more")


async def _rescue(
    connection: AsyncConnection, job_ids: Sequence[UUID], lease_ids: Sequence[UUID], now: datetime
) -> None:
    dead = jobs.c.attempts >= jobs.c.max_attempts
    await connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            state=case((dead, JobState.FAILED.value), else_=JobState.PENDING.value),
            finished_at=case((dead, to_micros(now)), else_=None),
            run_at=now,
            lease_id=None,
            worker_id=None,
            problem=rows.problem_json(_LOST),
        )
    )
    await connection.execute(
        update(attempts)
        .where(attempts.c.lease_id.in_(lease_ids))
        .values(ended_at=now, outcome=AttemptOutcome.LOST.value, problem=rows.problem_json(_LOST))
    )


def _lost_event(row: Any, now: datetime) -> dict[str, Any]:
    dead = row.attempts >= row.max_attempts
    kind = EventKind.FAILED if dead else EventKind.LOST
    data = {"attempt": row.attempts, **(rows.problem_json(_LOST) or {})}
    return {"job_id": row.id, "at": now, "kind": kind.value, "data": data}


def _claimed(job: Job) -> Claimed:
    if job.lease is None:
        raise AssertionError(f"job {job.id} runs without a lease")
    return Claimed(job, job.lease)


def _fence(lease: Lease) -> tuple[Any, Any]:
    return jobs.c.id == lease.job_id, jobs.c.lease_id == lease.id


async def _lock(connection: AsyncConnection, lease: Lease) -> None:
    """Hold the job's row until the transaction ends, so that no rescue comes in between."""
    query = select(jobs.c.id).where(*_fence(lease)).with_for_update(read=True)
    if (await connection.execute(query)).one_or_none() is None:
        raise _lease_lost(lease)


async def _require(result: CursorResult[Any], lease: Lease) -> None:
    if result.rowcount != 1:
        raise _lease_lost(lease)


def _lease_lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"attempt {lease.attempt} of job {lease.job_id} no longer belongs to this worker")


_EVENT = {
    AttemptOutcome.COMPLETED: EventKind.COMPLETED,
    AttemptOutcome.CANCELLED: EventKind.CANCELLED,
    AttemptOutcome.RETURNED: EventKind.RETURNED,
    AttemptOutcome.LOST: EventKind.LOST,
}


def _given(settlement: Settlement) -> dict[str, Any]:
    problem = rows.problem_json(settlement.problem)
    if settlement.outcome is AttemptOutcome.FAILED:
        kind = EventKind.RETRYING if settlement.state is JobState.PENDING else EventKind.FAILED
    else:
        kind = _EVENT[settlement.outcome]
    data: dict[str, Any] = {"attempt": settlement.lease.attempt, **(problem or {})}
    if settlement.run_at is not None:
        data["run_at"] = settlement.run_at.isoformat()
    return {
        "job_id": settlement.lease.job_id.hex,
        "lease_id": settlement.lease.id.hex,
        "state": settlement.state.value,
        "outcome": settlement.outcome.value,
        "at": to_micros(settlement.at),
        "run_at": None if settlement.run_at is None else to_micros(settlement.run_at),
        "finished_at": to_micros(settlement.at) if settlement.state.ended else None,
        "result": None if settlement.result is None else dict(settlement.result),
        "problem": problem,
        "unspent": int(settlement.outcome is AttemptOutcome.RETURNED),
        "kind": kind.value,
        "data": data,
    }
