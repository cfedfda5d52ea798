"""PostgreSQL's locks: processes that hold some are waited for in turn, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from forgehand.application.clock import utc_now
from forgehand.application.ports.jobs import JobFilter, NewJob, StoreUnavailable
from forgehand.domain.jobs import ParentPolicy
from forgehand.infrastructure.sql.control import SqlJobControl
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.tables import jobs as jobs_table
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.stores import migrated


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


WAITING = text("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")


def job(*after: UUID) -> NewJob:
    return NewJob(
        uuid4(), "paint", {}, 1, "ada", utc_now(), 3, after=after, on_parent_failure=ParentPolicy.RELEASE
    )


async def test_a_release_locks_in_the_order_of_ids_so_that_two_never_wait_for_each_other(
    database: Database, postgres_url: str
) -> None:
    async with database.write() as unsorted:  # as the planner does by itself where there are many rows
        name = postgres_url.rpartition("/")[2]
        for way in ("sort", "indexscan", "mergejoin"):
            await unsorted.execute(text(f'ALTER DATABASE "{name}" SET enable_{way} = off'))
    await database.close()
    jobs, control, upkeep = SqlJobs(database, utc_now), SqlJobControl(database), SqlUpkeep(database)
    parent = job()
    children = sorted((job(parent.id) for _ in range(60)), key=lambda it: it.id)
    await jobs.submit([parent, *children])
    await control.cancel(JobFilter(ids=[parent.id]), utc_now())
    lock = select(jobs_table.c.id).with_for_update()
    async with database.write() as ours:
        await ours.execute(lock.where(jobs_table.c.id == children[0].id))
        releasing = asyncio.create_task(upkeep.release(utc_now()))
        async with asyncio.timeout(10):
            while not await ours.scalar(WAITING):
                await asyncio.sleep(0.01)
        rest = jobs_table.c.id.in_([it.id for it in children[1:]])
        await ours.execute(lock.where(rest).with_for_update(nowait=True))
    assert await releasing == {"paint"}
    assert {(await jobs.get(it.id)).blockers for it in children} == {0}


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
