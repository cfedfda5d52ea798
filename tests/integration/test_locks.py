"""PostgreSQL's locks: processes that hold some are waited for in turn, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from forgehand.application.clock import utc_now
from forgehand.application.ports.jobs import JobFilter, NewJob, StoreUnavailable
from forgehand.domain.jobs import JobState, ParentPolicy
from forgehand.infrastructure.sql.control import SqlJobControl
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.stores import migrated

AT_ONCE = 6


@asynccontextmanager
async def closing(database: Database) -> AsyncIterator[Database]:
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with migrated(postgres_url) as database:
        yield database


def job(*after: UUID) -> NewJob:
    return NewJob(
        uuid4(), "paint", {}, 1, "ada", utc_now(), 3, after=after, on_parent_failure=ParentPolicy.RELEASE
    )


async def test_several_processes_that_release_at_once_do_not_deadlock(database: Database) -> None:
    jobs, control, upkeep = SqlJobs(database, utc_now), SqlJobControl(database), SqlUpkeep(database)
    for _ in range(8):
        parents = [job() for _ in range(20)]
        children = [job(*(it.id for it in parents)) for _ in range(60)]
        await jobs.submit([*parents, *children])

        async def end_and_release(some: list[NewJob]) -> None:
            await control.cancel(JobFilter(ids=[it.id for it in some]), utc_now())
            await upkeep.release(utc_now())

        async with asyncio.TaskGroup() as tasks:
            for first in range(AT_ONCE):
                tasks.create_task(end_and_release(parents[first::AT_ONCE]))
        await upkeep.release(utc_now())
        assert {(await jobs.get(it.id)).blockers for it in children} == {0}
        await control.cancel(JobFilter(states=[JobState.PENDING]), utc_now(), limit=1000)


async def test_a_process_frozen_in_a_transaction_loses_its_locks_within_15_seconds(
    database: Database, postgres_url: str
) -> None:
    """Else nobody could sweep while it is frozen: its lock is the sweeping one's."""
    lock = text("SELECT pg_advisory_xact_lock(4711)")
    locked = asyncio.Event()
    thaw = asyncio.Event()

    async def freeze() -> None:
        async with closing(Database(postgres_url)) as theirs, theirs.write() as connection:
            await connection.execute(lock)
            locked.set()
            await thaw.wait()
            await connection.execute(lock)

    frozen = asyncio.create_task(freeze())
    await locked.wait()
    async with asyncio.timeout(15), database.write() as connection:
        await connection.execute(lock)
    thaw.set()
    with pytest.raises(StoreUnavailable):
        await frozen
