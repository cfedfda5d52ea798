"""Schedules, and the transaction that fires them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from forgehand.application.ports.jobs import Submission
from forgehand.application.ports.schedules import Fired, Plan, Planned, ScheduleNotFound
from forgehand.domain.jobs import JobState
from forgehand.domain.schedules import CatchUp, Overlap, Schedule, usable_name
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import submit_within
from forgehand.infrastructure.sql.tables import jobs, schedules

_AT_ONCE = 50
_CHANGEABLE = ("type", "request", "timing", "timezone", "overlap", "catch_up", "submitted_by")


class SqlSchedules:
    """Ports Schedules and DueSchedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, schedule: Schedule) -> Schedule:
        dialect = sqlite if self._database.sqlite else postgresql
        statement = dialect.insert(schedules).values(_row(schedule))
        new = statement.excluded
        same_times = (schedules.c.timing == new.timing) & (schedules.c.timezone == new.timezone)
        statement = statement.on_conflict_do_update(
            index_elements=[schedules.c.name],
            set_={name: new[name] for name in _CHANGEABLE}
            | {"next_at": case((same_times, schedules.c.next_at), else_=new.next_at)},
        )
        async with self._database.statement() as connection:
            return _schedule((await connection.execute(statement.returning(schedules))).one())

    async def get(self, name: str) -> Schedule:
        async with self._database.read() as connection:
            return await _get(connection, name)

    async def all(self) -> Sequence[Schedule]:
        async with self._database.read() as connection:
            return [
                _schedule(row)
                for row in await connection.execute(select(schedules).order_by(schedules.c.name))
            ]

    async def remove(self, name: str) -> None:
        async with self._database.statement() as connection:
            gone = await connection.execute(delete(schedules).where(_named(name)))
        if not gone.rowcount:
            raise _missing(name)

    async def pause(self, name: str, now: datetime) -> Schedule:
        change = update(schedules).where(_named(name), schedules.c.paused_at.is_(None))
        async with self._database.write() as connection:
            await connection.execute(change.values(paused_at=now))
            return await _get(connection, name)

    async def resume(self, name: str, next_at: datetime | None) -> Schedule:
        change = update(schedules).where(_named(name), schedules.c.paused_at.is_not(None))
        async with self._database.write() as connection:
            await connection.execute(change.values(paused_at=None, next_at=next_at))
            return await _get(connection, name)

    async def next_at(self, types: Collection[str]) -> datetime | None:
        query = select(schedules.c.next_at).where(
            schedules.c.paused_at.is_(None), schedules.c.type.in_(types)
        )
        query = query.where(schedules.c.next_at.is_not(None)).order_by(schedules.c.next_at).limit(1)
        async with self._database.read() as connection:
            return await connection.scalar(query)

    async def fire(self, types: Collection[str], now: datetime, plan: Plan) -> Fired:
        async with self._database.write() as connection:
            due = await _locked(connection, types, now)
            busy = await _busy(connection, due)
            planned = {
                it.name: (it, done) for it in due if (done := plan(it, it.last_job_id in busy)) is not None
            }
            if not planned:
                return Fired()
            new = [job for _, done in planned.values() for job in done.jobs]
            submitted = (
                await submit_within(connection, new, now, sqlite_=self._database.sqlite) if new else []
            )
            made = {it.job.id: it for it in submitted}
            await connection.execute(
                update(schedules).where(schedules.c.name == bindparam("schedule")),
                [_moved(it, done, made) for it, done in planned.values()],
            )
        created = [it.job for it in submitted if it.created]
        missed = sum(done.firing.missed for _, done in planned.values())
        return Fired(len(created), missed, frozenset(job.type for job in created))


async def _locked(connection: AsyncConnection, types: Collection[str], now: datetime) -> list[Schedule]:
    """Those that are due, the oldest first, and no other process has in hand."""
    query = (
        select(schedules)
        .where(schedules.c.next_at <= now, schedules.c.paused_at.is_(None), schedules.c.type.in_(types))
        .order_by(schedules.c.next_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return [_schedule(row) for row in await connection.execute(query)]


async def _busy(connection: AsyncConnection, due: Iterable[Schedule]) -> set[UUID | None]:
    """Which of their last jobs have not ended."""
    last = [it.last_job_id for it in due if it.overlap is Overlap.SKIP and it.last_job_id is not None]
    if not last:
        return set()
    alive = jobs.c.state.in_([JobState.PENDING.value, JobState.RUNNING.value])
    return set((await connection.scalars(select(jobs.c.id).where(jobs.c.id.in_(last), alive))).all())


def _moved(schedule: Schedule, planned: Planned, made: dict[UUID, Submission]) -> dict[str, Any]:
    firing = planned.firing
    created = [job.id for job in planned.jobs if made[job.id].created]
    return {
        "schedule": schedule.name,
        "next_at": firing.next_at,
        "last_at": firing.due[-1] if firing.due else schedule.last_at,
        "last_job_id": planned.jobs[-1].id if planned.jobs else schedule.last_job_id,
        "fired": schedule.fired + len(created),
        "missed": schedule.missed + firing.missed,
        "missed_at": firing.missed_at or schedule.missed_at,
    }


async def _get(connection: AsyncConnection, name: str) -> Schedule:
    row = (await connection.execute(select(schedules).where(_named(name)))).one_or_none()
    if row is None:
        raise _missing(name)
    return _schedule(row)


def _named(name: str) -> ColumnElement[bool]:
    """Raise ScheduleNotFound for what cannot be a name, of which some text cannot even be asked for."""
    if not usable_name(name):
        raise _missing(name)
    return schedules.c.name == name


def _missing(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule {name[:80]!r}")


_SAME = (
    "name type timing submitted_by created_at next_at paused_at last_at last_job_id fired missed missed_at"
)


def _row(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in _SAME.split()} | {
        "request": dict(schedule.request),
        "timezone": schedule.zone,
        "overlap": schedule.overlap.value,
        "catch_up": schedule.catch_up.value,
    }


def _schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        name=row.name,
        type=row.type,
        request=row.request,
        timing=row.timing,
        zone=row.timezone,
        overlap=Overlap(row.overlap),
        catch_up=CatchUp(row.catch_up),
        submitted_by=row.submitted_by,
        created_at=row.created_at,
        next_at=row.next_at,
        paused_at=row.paused_at,
        last_at=row.last_at,
        last_job_id=row.last_job_id,
        fired=row.fired,
        missed=row.missed,
        missed_at=row.missed_at,
    )
