"""The job store for those who submit and watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, text, tuple_
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
    ParentNotFound,
    StoreUnavailable,
    StreamedEvent,
    Submission,
)
from forgehand.domain.jobs import Attempt, EventKind, Job, JobEvent, JobState
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.control import matching
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.submit_postgresql import is_plain, store_plain
from forgehand.infrastructure.sql.tables import attempts, dependencies, events, idempotency_keys, jobs

_KEY_LIFE = timedelta(hours=24)
_TRIES = 5
_KNOWN_KIND = events.c.kind.in_(rows.KINDS)  # a newer version may tell of more
_OLDEST_RUNNING = text("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


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
        if not self._database.sqlite and all(map(is_plain, jobs)):
            now = self._clock()
            if await store_plain(self._database, jobs, now):
                return [Submission(_pending(job, now, 0), created=True) for job in jobs]
        async with self._database.write() as connection:
            return await submit_within(connection, jobs, self._clock(), sqlite_=self._database.sqlite)

    async def get(self, job_id: UUID) -> Job:
        async with self._database.read() as connection:
            row = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return rows.job(row)

    async def page(self, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
        query = matching(query, wanted)
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
            .order_by(
                attempts.c.number, attempts.c.started_at, attempts.c.ended_at.is_(None), attempts.c.lease_id
            )
        )
        async with self._database.read() as connection:
            return [rows.attempt(row) for row in await connection.execute(query)]

    async def events(self, job_id: UUID, *, after: int = 0, limit: int = 1000) -> Sequence[JobEvent]:
        query = (
            select(events)
            .where(events.c.job_id == job_id, events.c.sequence > after, _KNOWN_KIND)
            .order_by(events.c.sequence)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [
                JobEvent(row.sequence, row.job_id, row.at, EventKind(row.kind), row.data)
                for row in await connection.execute(query)
            ]

    async def stream(self, *, after: str | None = None, limit: int = 1000) -> Sequence[StreamedEvent]:
        query = select(events).where(_KNOWN_KIND).order_by(events.c.tx, events.c.sequence).limit(limit)
        if after is not None:
            tx, sequence = rows.from_position(after)
            query = query.where(tuple_(events.c.tx, events.c.sequence) > tuple_(tx, sequence))
        if not self._database.sqlite:
            # What a running transaction wrote may come with a lower number than what is visible now.
            query = query.where(events.c.tx < _OLDEST_RUNNING)
        async with self._database.read() as connection:
            return [
                StreamedEvent(
                    rows.to_position(row.tx, row.sequence),
                    JobEvent(row.sequence, row.job_id, row.at, EventKind(row.kind), row.data),
                )
                for row in await connection.execute(query)
            ]

    async def tail(self) -> str:
        query = select(events.c.tx, events.c.sequence).limit(1)
        query = query.order_by(events.c.tx.desc(), events.c.sequence.desc())
        if not self._database.sqlite:
            query = query.where(events.c.tx < _OLDEST_RUNNING)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return rows.to_position(row.tx, row.sequence) if row else rows.to_position(0, 0)


async def submit_within(
    connection: AsyncConnection, new: Sequence[NewJob], now: datetime, *, sqlite_: bool
) -> Sequence[Submission]:
    """Jobs.submit in a transaction that is the caller's to commit."""
    writer = _Writer(connection, now, sqlite_)
    replayed = {job.id: it for job in new if (it := await writer.replayed(job)) is not None}
    fresh = [job for job in new if job.id not in replayed]
    blockers = await writer.blockers(fresh)
    created = await writer.insert(fresh, blockers)
    found: list[Submission] = []
    for job in new:
        if job.id in created:
            found.append(Submission(_pending(job, now, blockers[job.id]), created=True))
            created.discard(job.id)
        else:
            found.append(replayed.get(job.id) or await writer.existing(job))
    return found


@dataclass(frozen=True, slots=True)
class _Writer:
    """One submission's transaction."""

    connection: AsyncConnection
    now: datetime
    sqlite: bool

    async def replayed(self, job: NewJob) -> Submission | None:
        """What an earlier submission with the same idempotency key led to."""
        key = job.idempotency
        if key is None:
            return None
        keys = idempotency_keys
        at = (keys.c.owner == key.owner) & (keys.c.key == key.key)
        await self.connection.execute(delete(keys).where(at, keys.c.created_at <= self.now - _KEY_LIFE))
        used = (await self.connection.execute(select(keys).where(at))).one_or_none()
        if used is None:
            return None
        if used.digest != key.digest:
            raise IdempotencyConflict("this idempotency key was used for another request")
        row = (await self.connection.execute(select(jobs).where(jobs.c.id == used.job_id))).one_or_none()
        if row is None:
            await self.connection.execute(delete(keys).where(at))
            return None
        return Submission(rows.job(row), created=False)

    async def blockers(self, new: Sequence[NewJob]) -> dict[UUID, int]:
        """How many jobs each has to wait for. Raise ParentNotFound."""
        parents = {parent for job in new for parent in job.after}
        ended: dict[UUID, bool] = {job.id: False for job in new}
        if outside := parents - ended.keys():
            # Locked, so that none of them ends between this look and our commit.
            query = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(outside)).order_by(jobs.c.id)
            query = query.with_for_update(read=True)
            found = (await self.connection.execute(query)).all()
            ended |= {row.id: row.state == JobState.COMPLETED.value for row in found}
        if missing := parents - ended.keys():
            raise ParentNotFound(f"there is no job {min(missing)} to wait for")
        return {job.id: sum(not ended[parent] for parent in set(job.after)) for job in new}

    async def insert(self, new: Sequence[NewJob], blockers: Mapping[UUID, int]) -> set[UUID]:
        """Insert those that are in nobody's way, with all that belongs to them, and return their ids."""
        if not new:
            return set()
        dialect = sqlite if self.sqlite else postgresql
        statement = dialect.insert(jobs).on_conflict_do_nothing().returning(jobs.c.id)
        result = await self.connection.execute(statement, [_row(it, self.now, blockers[it.id]) for it in new])
        created = {row.id for row in result}
        kept = [job for job in new if job.id in created]
        edges = [
            {"job_id": job.id, "parent_id": parent, "on_failure": job.on_parent_failure.value}
            for job in kept
            for parent in dict.fromkeys(job.after)
        ]
        keys = [_key_row(job.idempotency, job.id, self.now) for job in kept if job.idempotency is not None]
        told = [_submitted(job, self.now) for job in kept]
        for table, values in ((events, told), (dependencies, edges), (idempotency_keys, keys)):
            if values:
                await self.connection.execute(insert(table), values)
        return created

    async def existing(self, job: NewJob) -> Submission:
        """The job in whose way `job` was. Raise JobIdTaken."""
        for _ in range(_TRIES):
            row = (await self.connection.execute(select(jobs).where(jobs.c.id == job.id))).one_or_none()
            if row is not None:
                if (row.type, row.request) == (job.type, job.request):
                    return Submission(rows.job(row), created=False)
                raise JobIdTaken(f"job {job.id} exists already and is another one")
            held = select(jobs).where(
                jobs.c.type == job.type,
                jobs.c.unique_key == job.unique_key,
                jobs.c.state.in_([JobState.PENDING.value, JobState.RUNNING.value]),
            )
            row = (await self.connection.execute(held)).one_or_none()
            if row is not None:
                return Submission(rows.job(row), created=False)
            # Whoever held the unique key ended in between: it is free now.
            blockers = await self.blockers([job])
            if await self.insert([job], blockers):
                return Submission(_pending(job, self.now, blockers[job.id]), created=True)
        raise StoreUnavailable(f"the unique key {job.unique_key!r} keeps changing hands; try again")


def _key_row(key: IdempotencyKey, job_id: UUID, now: datetime) -> dict[str, Any]:
    return {"owner": key.owner, "key": key.key, "digest": key.digest, "job_id": job_id, "created_at": now}


def _submitted(job: NewJob, now: datetime) -> dict[str, Any]:
    return {"job_id": job.id, "at": now, "kind": EventKind.SUBMITTED.value, "data": {"by": job.submitted_by}}


def _row(job: NewJob, now: datetime, blockers: int) -> dict[str, Any]:
    return {
        "id": job.id,
        "type": job.type,
        "state": JobState.PENDING.value,
        "priority": job.priority.value,
        "run_at": job.run_at,
        "created_at": now,
        "attempts": 0,
        "max_attempts": job.max_attempts,
        "timeout_ms": rows.timeout_ms(job),
        "unique_key": job.unique_key,
        "submitted_by": job.submitted_by,
        "on_behalf_of": job.on_behalf_of,
        "tags": rows.tags_text(job),
        "blockers": blockers,
        "progress": 0,
        "schema_version": job.schema_version,
        "request": dict(job.request),
    }


def _pending(job: NewJob, now: datetime, blockers: int) -> Job:
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
        tags=job.tags,
        blockers=blockers,
    )
