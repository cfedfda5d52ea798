"""Heartbeats, rescue and waiting jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.leases import Worker
from forgehand.application.ports.upkeep import SeenWorker, Swept
from forgehand.domain.jobs import AttemptOutcome, EventKind, JobProblem, JobState, ParentPolicy
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import attempts, dependencies, events, jobs, to_micros, workers

_LOST = JobProblem("WorkerLost", "the worker that ran this attempt was not seen any more")
_PARENT_FAILED = JobProblem("ParentFailed", "a job that this one waited for failed or was cancelled")
_SWEEP_LOCK = 0x73776565  # "swee": the sweeping process of a PostgreSQL database
_READY = text("state = 'pending' AND blockers = 0")
_WAITING = text("state = 'pending' AND blockers > 0")
_ENDED_BADLY = (JobState.FAILED.value, JobState.CANCELLED.value)


class SqlUpkeep:
    """Port Upkeep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, worker: Worker, now: datetime) -> None:
        dialect = sqlite if self._database.sqlite else postgresql
        row = {"id": worker.id, "label": worker.label, "started_at": now, "seen_at": now}
        statement = dialect.insert(workers).values(row)
        async with self._database.statement() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=[workers.c.id], set_={"seen_at": now})
            )

    async def workers(self) -> Sequence[SeenWorker]:
        held = (
            select(jobs.c.worker_id, func.count().label("running"))
            .where(text("state = 'running'"))
            .group_by(jobs.c.worker_id)
        ).subquery()
        query = (
            select(workers, func.coalesce(held.c.running, 0).label("running"))
            .join(held, held.c.worker_id == workers.c.id, isouter=True)
            .order_by(workers.c.started_at, workers.c.id)
        )
        async with self._database.read() as connection:
            return [
                SeenWorker(Worker(row.id, row.label), row.started_at, row.seen_at, row.running)
                for row in await connection.execute(query)
            ]

    async def retire(self, worker: Worker) -> None:
        async with self._database.statement() as connection:
            await connection.execute(delete(workers).where(workers.c.id == worker.id))

    async def release(self, now: datetime) -> frozenset[str]:
        queues: set[str] = set()
        async with self._database.write() as connection:
            while freed := await _release(connection, now):
                queues |= freed
        return frozenset(queues - {""})

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        # Mostly there is nothing to do: looking costs one statement and locks nobody out.
        chores = exists().where(_astray(now, lease_time))
        async with self._database.read() as connection:
            waiting = select(jobs.c.id).where(_WAITING).exists()
            busy = await connection.scalar(select(or_(chores, _orphaned(now, lease_time).exists(), waiting)))
        lost = await self._tidy(now, lease_time) if busy else 0
        due = select(jobs.c.type).where(_READY, jobs.c.run_at <= now).distinct()
        async with self._database.read() as connection:
            return Swept(lost, frozenset((await connection.scalars(due)).all()))

    async def _tidy(self, now: datetime, lease_time: timedelta) -> int:
        async with self._database.write() as connection:
            if not self._database.sqlite and not await connection.scalar(
                select(func.pg_try_advisory_xact_lock(_SWEEP_LOCK))
            ):
                return 0
            # A beat from far ahead was stamped before the clock was put back: it counts as one of now.
            ahead = workers.c.seen_at > now + lease_time
            await connection.execute(update(workers).where(ahead).values(seen_at=now))
            lost = await _rescue(connection, now, lease_time)
            await connection.execute(delete(workers).where(workers.c.seen_at < now - 10 * lease_time))
            while await _release(connection, now):
                pass
            return lost


def _astray(now: datetime, lease_time: timedelta) -> ColumnElement[bool]:
    """Workers whose last beat is ahead of all clocks, or long ago."""
    return or_(workers.c.seen_at > now + lease_time, workers.c.seen_at < now - 10 * lease_time)


def _orphaned(now: datetime, lease_time: timedelta) -> Select[Any]:
    """The running jobs of workers that were not seen for so long."""
    alive = exists().where(workers.c.id == jobs.c.worker_id, workers.c.seen_at >= now - lease_time)
    return select(jobs.c.id, jobs.c.lease_id, jobs.c.attempts, jobs.c.max_attempts, jobs.c.cancel_at).where(
        text("state = 'running'"), ~alive
    )


async def _rescue(connection: AsyncConnection, now: datetime, lease_time: timedelta) -> int:
    orphaned = _orphaned(now, lease_time).with_for_update(skip_locked=True)
    lost = (await connection.execute(orphaned)).all()
    if not lost:
        return 0
    ended = case(
        (jobs.c.cancel_at.is_not(None), JobState.CANCELLED.value),
        (jobs.c.attempts >= jobs.c.max_attempts, JobState.FAILED.value),
        else_=JobState.PENDING.value,
    )
    goes_on = (jobs.c.cancel_at.is_(None)) & (jobs.c.attempts < jobs.c.max_attempts)
    await connection.execute(
        update(jobs)
        .where(jobs.c.id.in_([row.id for row in lost]))
        .values(
            state=ended,
            finished_at=case((goes_on, None), else_=literal(to_micros(now))),
            run_at=now,
            lease_id=None,
            worker_id=None,
            problem=rows.problem_json(_LOST),
        )
    )
    await connection.execute(
        update(attempts)
        .where(attempts.c.job_id.in_([row.id for row in lost]))
        .where(attempts.c.lease_id.in_([row.lease_id for row in lost]))
        .values(ended_at=now, outcome=AttemptOutcome.LOST.value, problem=rows.problem_json(_LOST))
    )
    await connection.execute(insert(events), [_lost_event(row, now) for row in lost])
    return len(lost)


def _lost_event(row: Any, now: datetime) -> dict[str, Any]:
    if row.cancel_at is not None:
        kind = EventKind.CANCELLED
    else:
        kind = EventKind.FAILED if row.attempts >= row.max_attempts else EventKind.LOST
    data = {"attempt": row.attempts, **(rows.problem_json(_LOST) or {})}
    return {"job_id": row.id, "at": now, "kind": kind.value, "data": data}


async def _release(connection: AsyncConnection, now: datetime) -> set[str]:
    """One step: who waits for nothing goes on, who waits in vain fails. Empty when nothing changed.

    A queue's name for each that goes on, "" for those that fail (their own children come next).
    """
    parents = jobs.alias("parents")
    edges = dependencies.join(parents, parents.c.id == dependencies.c.parent_id, isouter=True)
    bad = parents.c.state.in_(_ENDED_BADLY) | parents.c.id.is_(None)
    settled = (parents.c.state == JobState.COMPLETED.value) | (
        bad & (dependencies.c.on_failure == ParentPolicy.RELEASE.value)
    )
    failing = bad & (dependencies.c.on_failure == ParentPolicy.FAIL.value)
    waiting = (
        select(
            jobs.c.id,
            jobs.c.type,
            jobs.c.blockers,
            func.coalesce(func.sum(case((settled, 0), else_=1)), 0).label("left"),
            func.coalesce(func.sum(case((failing, 1), else_=0)), 0).label("failing"),
        )
        .select_from(jobs.join(edges, dependencies.c.job_id == jobs.c.id, isouter=True))
        .where(jobs.c.state == text("'pending'"), jobs.c.blockers > text("0"))
        .group_by(jobs.c.id, jobs.c.type, jobs.c.blockers)
    ).subquery()
    changed = select(waiting).where((waiting.c.failing > 0) | (waiting.c.left < waiting.c.blockers))
    found = (await connection.execute(changed)).all()
    if not found:
        return set()
    # In one order, so that several processes that release at once wait for each other in turn.
    mine = select(jobs.c.id).where(jobs.c.id.in_([row.id for row in found])).order_by(jobs.c.id)
    await connection.execute(mine.with_for_update())
    failed = [row.id for row in found if row.failing]
    if failed:
        await _fail(connection, failed, now)
    for row in found:
        if not row.failing:
            await connection.execute(
                update(jobs)
                .where(jobs.c.id == row.id, jobs.c.state == JobState.PENDING.value)
                .where(jobs.c.blockers > row.left)  # another process may have seen more parents end
                .values(blockers=row.left)
            )
    freed = [row for row in found if not row.failing and row.left == 0]
    if freed:
        told = [{"job_id": row.id, "at": now, "kind": EventKind.RELEASED.value, "data": {}} for row in freed]
        await connection.execute(insert(events), told)
    return {row.type for row in freed} | ({""} if failed else set())


async def _fail(connection: AsyncConnection, job_ids: Sequence[UUID], now: datetime) -> None:
    change = (
        update(jobs)
        .where(jobs.c.id.in_(job_ids), jobs.c.state == JobState.PENDING.value)
        .values(
            state=JobState.FAILED.value,
            finished_at=now,
            blockers=0,
            problem=rows.problem_json(_PARENT_FAILED),
        )
        .returning(jobs.c.id)
    )
    failed = (await connection.scalars(change)).all()
    if failed:
        data = rows.problem_json(_PARENT_FAILED)
        told = [{"job_id": id_, "at": now, "kind": EventKind.FAILED.value, "data": data} for id_ in failed]
        await connection.execute(insert(events), told)
