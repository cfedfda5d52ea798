"""The pump where a job's end, a lost lease and a bad line come together, over SQLite in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from forgehand.application.clock import utc_now
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.jobs.pump import LAST_WORDS, Pump
from forgehand.application.jobs.running import RunJob
from forgehand.application.jobs.submit import SubmitJob
from forgehand.application.jobs.time_limit import CLEAN_UP
from forgehand.application.ports.jobs import Jobs, StoreUnavailable
from forgehand.application.ports.leases import Exchange, Leases, Share, Wanted, Worker
from forgehand.application.redaction import Redactor
from forgehand.domain.jobs import Claimed, Job, JobState, Settlement
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.leases import SqlLeases
from forgehand.infrastructure.sql.schema import prepare
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.job_types import Brush, Paint, paint_type


@dataclass
class Line:
    """Leases over a line that can be cut, and that can be made to wait before it answers `held`."""

    inner: Leases
    cut: bool = False
    fail_next: bool = False
    held_asked: asyncio.Event = field(default_factory=asyncio.Event)
    held_answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        if self.cut or self.fail_next:
            self.fail_next = False
            raise StoreUnavailable("the line is down")
        return await self.inner.exchange(worker, settlements, wanted, now)

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        held = await self.inner.held(worker)
        self.held_asked.set()
        await self.held_answers.wait()
        return held


@dataclass
class Shop:
    jobs: Jobs
    line: Line
    upkeep: SqlUpkeep
    brush: Brush = field(default_factory=Brush)
    ran: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line.held_answers.set()
        self.types = JobTypes([paint_type()])
        self.bell = embedded_bell()

        async def hold(job: JobContext, painted: int) -> int:
            self.ran.append(job.attempt)
            self.brush.started.set()
            await self.brush.hold.wait()
            return painted

        self.brush.deed.append(hold)

    @asynccontextmanager
    async def pumping(self, grace: float = 5.0) -> AsyncIterator[Pump]:
        run_job = RunJob(self.types, lambda _: Paint(self.brush), self.line, utc_now, Redactor(), lambda: 0.0)
        pump = Pump(
            run_job=run_job,
            leases=self.line,
            upkeep=self.upkeep,
            bell=self.bell,
            clock=utc_now,
            worker_label="here:1",
            queues={it.name: it.policy for it in self.types},
        )
        task = asyncio.create_task(pump.run(grace))
        try:
            yield pump
        finally:
            pump.stop()
            await asyncio.wait_for(task, grace + LAST_WORDS + 5)

    async def submit(self) -> UUID:
        submitted = await SubmitJob(self.types, self.jobs, self.bell, utc_now).submit("paint", {}, by="ada")
        return submitted.job.id

    async def ended(self, job_id: UUID) -> Job:
        async with asyncio.timeout(10):
            while not (job := await self.jobs.get(job_id)).state.ended:
                await asyncio.sleep(0.005)
        return job


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    database = Database("sqlite://")
    await prepare(database)
    shop = Shop(SqlJobs(database, utc_now), Line(SqlLeases(database)), SqlUpkeep(database))
    yield shop
    shop.bell.close()
    await database.close()


async def test_a_job_that_ends_while_its_lease_is_looked_up_runs_once(shop: Shop) -> None:
    async with shop.pumping():
        id_ = await shop.submit()
        await asyncio.wait_for(shop.brush.started.wait(), 5)
        shop.line.held_answers.clear()
        shop.line.fail_next = True
        await asyncio.wait_for(shop.line.held_asked.wait(), 10)
        shop.brush.hold.set()
        await asyncio.sleep(0.05)
        shop.line.held_answers.set()
        job = await shop.ended(id_)
    assert (job.state, job.attempts, shop.ran) == (JobState.COMPLETED, 1, [1])


async def test_a_job_whose_lease_was_lost_is_stopped_once_that_is_known(shop: Shop) -> None:
    async with shop.pumping() as pump:
        id_ = await shop.submit()
        await asyncio.wait_for(shop.brush.started.wait(), 5)
        later = utc_now() + timedelta(hours=1)
        other = Worker(uuid4(), "other")
        await shop.upkeep.beat(other, later)
        assert (await shop.upkeep.sweep(later, timedelta(seconds=30))).rescued == 1
        wanted = Wanted([Share("paint", 1)], [uuid4()], id_)
        [stolen] = (await shop.line.inner.exchange(other, [], wanted, later)).claimed
        shop.line.fail_next = True
        async with asyncio.timeout(10):
            while pump.at_work:
                await asyncio.sleep(0.01)
        await shop.line.inner.exchange(other, [stolen.complete({"painted": 9}, later)], None, later)
    assert (await shop.jobs.get(id_)).result == {"painted": 9}


async def test_a_store_that_is_gone_does_not_keep_a_worker_from_ending(shop: Shop) -> None:
    loop = asyncio.get_running_loop()
    async with shop.pumping(grace=0):
        await shop.submit()
        await asyncio.wait_for(shop.brush.started.wait(), 5)
        shop.line.cut = True
        began = loop.time()
    assert loop.time() - began < LAST_WORDS + 1


async def test_an_outcome_is_written_when_the_store_is_back_before_the_last_words_are_over(
    shop: Shop,
) -> None:
    async with shop.pumping(grace=1):
        id_ = await shop.submit()
        await asyncio.wait_for(shop.brush.started.wait(), 5)
        shop.line.cut = True
        shop.brush.hold.set()
        asyncio.get_running_loop().call_later(1.5, lambda: setattr(shop.line, "cut", False))
    assert (await shop.jobs.get(id_)).state is JobState.COMPLETED


async def test_a_loop_that_is_torn_down_hands_its_jobs_back_unspent(shop: Shop) -> None:
    """As at the end of `asyncio.run`: jobs and pump are cancelled at once."""
    before = asyncio.all_tasks()
    with suppress(asyncio.CancelledError):
        async with shop.pumping():
            id_ = await shop.submit()
            await asyncio.wait_for(shop.brush.started.wait(), 5)
            torn = asyncio.all_tasks() - before
            for task in torn:
                task.cancel()
            await asyncio.wait(torn, timeout=10)
    job = await shop.jobs.get(id_)
    assert (job.state, job.attempts) == (JobState.PENDING, 0)


def test_the_last_words_leave_time_to_write_after_the_clean_up() -> None:
    assert CLEAN_UP + 0.5 <= LAST_WORDS <= 5
