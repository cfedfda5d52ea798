"""What an operator does to jobs and queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, and_, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.jobs import Count, JobFilter
from forgehand.domain.jobs import Condition, EventKind, Job, JobState
from forgehand.infrastructure.sql import rows
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import attempts, dependencies, events, jobs, paused_types, steps

S = TypeVar("S", bound=Select[Any])
_ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
_REPLAYABLE = (JobState.FAILED, JobState.CANCELLED)


def _holds(condition: Condition, now: datetime | None) -> ColumnElement[bool]:
    pending = jobs.c.state == JobState.PENDING.value
    match condition:
        case Condition.WAITING:
            return and_(pending, jobs.c.blockers > 0)
        case Condition.RETRYING:
            return and_(pending, jobs.c.blockers == 0, jobs.c.attempts > 0)
        case Condition.SCHEDULED:
            return and_(pending, jobs.c.blockers == 0, jobs.c.attempts == 0, jobs.c.run_at > now)
        case Condition.CANCELLING:
            return and_(jobs.c.state == JobState.RUNNING.value, jobs.c.cancel_at.is_not(None))
        case Condition.DEAD:
            return and_(jobs.c.state == JobState.FAILED.value, jobs.c.attempts >= jobs.c.max_attempts)


def matching(query: S, wanted: JobFilter) -> S:
    """`query` over the jobs table, restricted to what is wanted and known.

    Rows with words of a newer version are left to that.
    """
    query = query.where(jobs.c.state.in_(rows.STATES), jobs.c.priority.in_(rows.PRIORITIES))
    if wanted.types:
        query = query.where(jobs.c.type.in_(list(wanted.types)))
    if wanted.states or wanted.conditions:
        either = [_holds(condition, wanted.now) for condition in wanted.conditions]
        if wanted.states:
            either.append(jobs.c.state.in_([state.value for state in wanted.states]))
        query = query.where(or_(*either))
    if wanted.submitted_by is not None:
        query = query.where(jobs.c.submitted_by == wanted.submitted_by)
    if wanted.tag is not None:
        query = query.where(jobs.c.tags.contains(f"|{wanted.tag}|", autoescape=True))
    if wanted.ids:
        query = query.where(jobs.c.id.in_(list(wanted.ids)))
    return query


class SqlJobControl:
    """Port JobControl."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cancel(self, wanted: JobFilter, now: datetime, *, limit: int = 1000) -> Sequence[Job]:
        live = (
            matching(select(jobs.c.id, jobs.c.state), wanted)
            .where(jobs.c.state.in_([JobState.PENDING.value, JobState.RUNNING.value]))
            .where(jobs.c.cancel_at.is_(None))
            .order_by(jobs.c.created_at, jobs.c.id)
            .limit(limit)
            .with_for_update()
        )
        async with self._database.write() as connection:
            found = (await connection.execute(live)).all()
            pending = [row.id for row in found if row.state == JobState.PENDING.value]
            running = [row.id for row in found if row.state == JobState.RUNNING.value]
            ended = {"state": JobState.CANCELLED.value, "finished_at": now, "cancel_at": now, "blockers": 0}
            await _change(connection, pending, ended, EventKind.CANCELLED, now)
            await _change(connection, running, {"cancel_at": now}, EventKind.CANCELLING, now)
            return await _read(connection, [row.id for row in found])

    async def replay(self, wanted: JobFilter, now: datetime, *, limit: int = 1000) -> Sequence[Job]:
        ended = (
            matching(select(jobs.c.id), wanted)
            .where(jobs.c.state.in_([state.value for state in _REPLAYABLE]))
            .order_by(jobs.c.created_at, jobs.c.id)
            .limit(limit)
            .with_for_update()
        )
        fresh = {
            "state": JobState.PENDING.value,
            "attempts": 0,
            "run_at": now,
            "finished_at": None,
            "cancel_at": None,
            "result": None,
            "progress": 0,
            "note": None,
        }
        async with self._database.write() as connection:
            replayed = []
            for job_id in (await connection.scalars(ended)).all():
                try:
                    async with connection.begin_nested():
                        await _change(connection, [job_id], fresh, EventKind.REPLAYED, now)
                except IntegrityError:  # its unique key is held by a newer job
                    continue
                replayed.append(job_id)
            await _wait_again(connection, replayed)
            return await _read(connection, replayed)

    async def pause(self, type_name: str, now: datetime) -> None:
        dialect = sqlite if self._database.sqlite else postgresql
        statement = dialect.insert(paused_types).values(type=type_name, paused_at=now)
        async with self._database.statement() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    async def resume(self, type_name: str) -> None:
        async with self._database.statement() as connection:
            await connection.execute(delete(paused_types).where(paused_types.c.type == type_name))

    async def paused(self) -> frozenset[str]:
        async with self._database.read() as connection:
            return frozenset((await connection.scalars(select(paused_types.c.type))).all())

    async def counts(self) -> Sequence[Count]:
        live = (
            select(jobs.c.type, jobs.c.state, func.count().label("jobs"))
            .where(jobs.c.finished_at.is_(None))
            .group_by(jobs.c.type, jobs.c.state)
        )
        ended = (
            select(jobs.c.type, jobs.c.state, func.count().label("jobs"))
            .where(jobs.c.finished_at.is_not(None))
            .group_by(jobs.c.type, jobs.c.state)
        )
        async with self._database.read() as connection:
            found = [*await connection.execute(live), *await connection.execute(ended)]
        return sorted(
            (Count(row.type, JobState(row.state), row.jobs) for row in found if row.state in rows.STATES),
            key=lambda count: (count.type, list(JobState).index(count.state)),
        )

    async def count(self, wanted: JobFilter) -> int:
        async with self._database.read() as connection:
            query = matching(select(func.count()).select_from(jobs), wanted)
            return int(await connection.scalar(query) or 0)

    async def purge(self, wanted: JobFilter, before: datetime, *, keep: int = 0, limit: int = 1000) -> int:
        ended = matching(select(jobs.c.id), wanted).where(
            jobs.c.finished_at < before, jobs.c.state.in_([state.value for state in _ENDED])
        )
        if keep:
            ended = ended.where(jobs.c.id.not_in(_newest(wanted, keep)))
        # A job that others still wait for stays until they have gone on.
        awaited = select(dependencies.c.parent_id).join(jobs, jobs.c.id == dependencies.c.job_id)
        awaited = awaited.where(text("state = 'pending' AND blockers > 0"))
        # Locked, so that none is replayed meanwhile; what another process purges is left to it.
        old = (
            ended.where(jobs.c.id.not_in(awaited))
            .order_by(jobs.c.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self._database.write() as connection:
            ids = (await connection.scalars(old)).all()
            if not ids:
                return 0
            owned: list[Table] = [attempts, events, steps, dependencies]
            for table in owned:
                await connection.execute(delete(table).where(table.c.job_id.in_(ids)))
            await connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
            return len(ids)


def _newest(wanted: JobFilter, keep: int) -> Select[Any]:
    """The newest `keep` ended jobs of each type."""
    place = func.row_number().over(partition_by=jobs.c.type, order_by=jobs.c.finished_at.desc())
    ended = matching(select(jobs.c.id, place.label("place")), wanted)
    ended_ = ended.where(jobs.c.finished_at.is_not(None)).subquery()
    return select(ended_.c.id).where(ended_.c.place <= keep)


async def _wait_again(connection: AsyncConnection, replayed: Sequence[UUID]) -> None:
    """Jobs that are replayed with their parents run after them; parents that ended are not waited for."""
    parents = jobs.alias("parents")
    live = (
        select(func.count())
        .select_from(dependencies.join(parents, parents.c.id == dependencies.c.parent_id))
        .where(dependencies.c.job_id == jobs.c.id, parents.c.finished_at.is_(None))
    )
    if replayed:
        change = update(jobs).where(jobs.c.id.in_(replayed)).values(blockers=live.scalar_subquery())
        await connection.execute(change)


async def _change(
    connection: AsyncConnection, ids: Sequence[UUID], values: dict[str, Any], kind: EventKind, now: datetime
) -> None:
    if ids:
        await connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values))
        told: list[dict[str, Any]] = [
            {"job_id": id_, "at": now, "kind": kind.value, "data": {}} for id_ in ids
        ]
        await connection.execute(insert(events), told)


async def _read(connection: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Job]:
    query = select(jobs).where(jobs.c.id.in_(ids)).order_by(jobs.c.created_at, jobs.c.id)
    return [rows.job(row) for row in await connection.execute(query)]
