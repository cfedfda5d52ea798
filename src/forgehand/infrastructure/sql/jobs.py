"""The job store for those who submit and watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.clock import Clock
from forgehand.application.ports.jobs import (
    IdempotencyConflict,
    IdempotencyKey,
    JobFilter,
    JobIdTaken,
    JobNotFound,
    JobPage,
    NewJob,
    StoreUnavailable,
    Submission,
)
from forgehand.domain.jobs import Attempt, EventKind, Job, JobEvent, JobState
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import attempts, events, idempotency_keys, jobs

_KEY_LIFE = timedelta(hours=24)
_TRIES = 5


class SqlJobs:
    """Port Jobs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[Submission]:
        if not jobs:
            return []
        for _ in range(_TRIES):
            try:
                return await self._submit(jobs)
            except IntegrityError:
                # Another writer used the idempotency key at the same moment: now its job is found.
                continue
        raise StoreUnavailable("an idempotency key keeps changing hands; try again")

    async def _submit(self, jobs: Sequence[NewJob]) -> Sequence[Submission]:
        async with self._database.write() as connection:
            now = self._clock()
            replayed = {
                job.id: earlier
                for job in jobs
                if (earlier := await _replayed(connection, job, now)) is not None
            }
            fresh = [job for job in jobs if job.id not in replayed]
            created = await self._insert(connection, fresh, now)
            found: list[Submission] = []
            for job in jobs:
                if job.id in created:
                    found.append(Submission(_pending(job, now), created=True))
                    created.discard(job.id)
                else:
                    earlier = replayed.get(job.id) or await self._existing(connection, job, now)
                    found.append(earlier)
            return found

    async def get(self, job_id: UUID) -> Job:
        async with self._database.read() as connection:
            row = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return rows.job(row)

    async def page(self, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
        if wanted.types:
            query = query.where(jobs.c.type.in_(list(wanted.types)))
        if wanted.states:
            query = query.where(jobs.c.state.in_([state.value for state in wanted.states]))
        if wanted.submitted_by is not None:
            query = query.where(jobs.c.submitted_by == wanted.submitted_by)
        if cursor is not None:
            query = query.where(rows.older(jobs.c.created_at, jobs.c.id, cursor))
        async with self._database.read() as connection:
            found = [rows.job(row) for row in await connection.execute(query)]
        more = len(found) > limit
        items = tuple(found[:limit])
        return JobPage(items, rows.to_cursor(items[-1].created_at, items[-1].id) if more else None)

    async def attempts(self, job_id: UUID) -> Sequence[Attempt]:
        query = (
            select(attempts)
            .where(attempts.c.job_id == job_id)
            .order_by(attempts.c.number, attempts.c.started_at)
        )
        async with self._database.read() as connection:
            return [rows.attempt(row) for row in await connection.execute(query)]

    async def events(self, job_id: UUID, *, after: int = 0, limit: int = 1000) -> Sequence[JobEvent]:
        query = (
            select(events)
            .where(events.c.job_id == job_id, events.c.sequence > after)
            .order_by(events.c.sequence)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [
                JobEvent(row.sequence, row.job_id, row.at, EventKind(row.kind), row.data)
                for row in await connection.execute(query)
            ]

    async def _insert(self, connection: AsyncConnection, new: Sequence[NewJob], now: datetime) -> set[UUID]:
        """Insert those that are in nobody's way, with their first event, and return their ids."""
        if not new:
            return set()
        dialect = sqlite if self._database.sqlite else postgresql
        statement = dialect.insert(jobs).on_conflict_do_nothing().returning(jobs.c.id)
        result = await connection.execute(statement, [_row(job, now) for job in new])
        created = {row.id for row in result}
        kept = [job for job in new if job.id in created]
        if kept:
            submitted = [
                {
                    "job_id": job.id,
                    "at": now,
                    "kind": EventKind.SUBMITTED.value,
                    "data": {"by": job.submitted_by},
                }
                for job in kept
            ]
            await connection.execute(insert(events), submitted)
        keys = [(job.idempotency, job.id) for job in kept if job.idempotency is not None]
        if keys:
            await connection.execute(
                insert(idempotency_keys), [_key_row(key, job_id, now) for key, job_id in keys]
            )
        return created

    async def _existing(self, connection: AsyncConnection, job: NewJob, now: datetime) -> Submission:
        for _ in range(_TRIES):
            row = (await connection.execute(select(jobs).where(jobs.c.id == job.id))).one_or_none()
            if row is not None:
                if (row.type, row.request) == (job.type, job.request):
                    return Submission(rows.job(row), created=False)
                raise JobIdTaken(f"job {job.id} exists already and is another one")
            row = (
                await connection.execute(
                    select(jobs).where(
                        jobs.c.type == job.type,
                        jobs.c.unique_key == job.unique_key,
                        jobs.c.state.in_([JobState.PENDING.value, JobState.RUNNING.value]),
                    )
                )
            ).one_or_none()
            if row is not None:
                return Submission(rows.job(row), created=False)
            # Whoever held the unique key ended in between: it is free now.
            if await self._insert(connection, [job], now):
                return Submission(_pending(job, now), created=True)
        raise StoreUnavailable(f"the unique key {job.unique_key!r} keeps changing hands; try again")


async def _replayed(connection: AsyncConnection, job: NewJob, now: datetime) -> Submission | None:
    key = job.idempotency
    if key is None:
        return None
    at = (idempotency_keys.c.owner == key.owner) & (idempotency_keys.c.key == key.key)
    await connection.execute(
        delete(idempotency_keys).where(at, idempotency_keys.c.created_at <= now - _KEY_LIFE)
    )
    used = (await connection.execute(select(idempotency_keys).where(at))).one_or_none()
    if used is None:
        return None
    if used.digest != key.digest:
        raise IdempotencyConflict("this idempotency key was used for another request")
    row = (await connection.execute(select(jobs).where(jobs.c.id == used.job_id))).one_or_none()
    if row is None:
        await connection.execute(delete(idempotency_keys).where(at))
        return None
    return Submission(rows.job(row), created=False)


def _key_row(key: IdempotencyKey, job_id: UUID, now: datetime) -> dict[str, Any]:
    return {"owner": key.owner, "key": key.key, "digest": key.digest, "job_id": job_id, "created_at": now}


def _row(job: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "id": job.id,
        "type": job.type,
        "state": JobState.PENDING.value,
        "priority": job.priority.value,
        "run_at": job.run_at,
        "created_at": now,
        "attempts": 0,
        "max_attempts": job.max_attempts,
        "timeout_ms": None if job.timeout is None else round(job.timeout.total_seconds() * 1000),
        "unique_key": job.unique_key,
        "submitted_by": job.submitted_by,
        "on_behalf_of": job.on_behalf_of,
        "progress": 0,
        "schema_version": job.schema_version,
        "request": dict(job.request),
    }


def _pending(job: NewJob, now: datetime) -> Job:
    return Job(
        id=job.id,
        type=job.type,
        state=JobState.PENDING,
        priority=job.priority,
        request=job.request,
        schema_version=job.schema_version,
        submitted_by=job.submitted_by,
        created_at=now,
        run_at=job.run_at,
        max_attempts=job.max_attempts,
        timeout=job.timeout,
        on_behalf_of=job.on_behalf_of,
        unique_key=job.unique_key,
    )
