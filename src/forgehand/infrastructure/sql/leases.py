"""The job store for workers: claims, fenced writes, rescue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.leases import Exchange, LeaseLost, Wanted, Worker
from forgehand.domain.jobs import (
    AttemptOutcome,
    Claimed,
    EventKind,
    Job,
    JobState,
    JsonObject,
    Lease,
    Settlement,
)
from forgehand.infrastructure.sql import exchange_postgresql, exchange_sqlite, rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import events, jobs, steps, to_micros


class SqlLeases:
    """Port Leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        wanted = wanted if wanted is not None and wanted.lease_ids else None
        once = {settlement.lease.id: settlement for settlement in reversed(settlements)}
        given = json.dumps([_given(settlement) for settlement in reversed(once.values())])
        run = exchange_sqlite.run if self._database.sqlite else exchange_postgresql.run
        answer = await run(self._database, worker, given, wanted, now)
        claimed = [_claimed(rows.job_of(row)) for row in answer.claimed]
        claimed.sort(key=lambda it: (-it.job.priority, it.job.run_at, it.job.id))
        lost = {settlement.lease.id for settlement in settlements} - answer.settled
        return Exchange(tuple(claimed), frozenset(lost), frozenset(answer.cancelled), answer.has_children)

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        query = select(jobs).where(jobs.c.state == JobState.RUNNING.value, jobs.c.worker_id == worker.id)
        query = query.where(jobs.c.priority.in_(rows.PRIORITIES))
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

    async def logged(self, lease: Lease) -> int:
        query = select(func.count()).where(
            events.c.job_id == lease.job_id, events.c.kind == EventKind.LOG.value
        )
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)

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


def _claimed(job: Job) -> Claimed:
    if job.lease is None:
        raise AssertionError(f"job {job.id} runs without a lease")
    return Claimed(job, job.lease)


def _fence(lease: Lease) -> tuple[Any, Any]:
    return jobs.c.id == lease.job_id, jobs.c.lease_id == lease.id


async def _lock(connection: AsyncConnection, lease: Lease) -> None:
    """Hold the job's row to the end: no rescue comes in between, and a job's events keep their order."""
    query = select(jobs.c.id).where(*_fence(lease)).with_for_update()
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
