"""Driving the system without a worker, over SQLite in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from forgehand import Forgehand
from forgehand.application.clock import utc_now
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import UnknownJobType
from forgehand.application.jobs.keeping import Keeper
from forgehand.application.jobs.processing import ProcessJobs
from forgehand.application.jobs.pump import Pump
from forgehand.application.jobs.scheduling import Definition, KeepSchedules, Scheduler
from forgehand.application.ports.bell import Bell
from forgehand.application.ports.jobs import JobNotFound, StoreUnavailable
from forgehand.application.ports.leases import Exchange, Leases, Share, Wanted, Worker
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import JobState
from forgehand.infrastructure.cron import read_timing
from forgehand.infrastructure.sql.control import SqlJobControl
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.schedules import SqlSchedules
from tests.job_types import paint_type
from tests.unit.test_kernel import Flaky, Kernel, failing, holding, kernel_of


def processing(kernel: Kernel, concurrency: int = 5) -> ProcessJobs:
    def make_pump(
        *, leases: Leases, bell: Bell, queues: Sequence[str], concurrency: int, only: UUID | None
    ) -> Pump:
        policies = {name: kernel.types.named(name).policy for name in queues}
        fresh = Kernel(
            kernel.jobs, leases, kernel.upkeep, kernel.bell, kernel.types, kernel.brush, kernel.now
        )
        return fresh.pump(only, queues=policies, concurrency=concurrency)

    return ProcessJobs(
        kernel.jobs,
        kernel.leases,
        kernel.upkeep,
        kernel.bell,
        kernel.now,
        Scheduler(SqlSchedules(database(kernel)), kernel.submit_job, read_timing, kernel.now),
        Keeper(kernel.types, SqlJobControl(database(kernel)), kernel.now),
        timedelta(seconds=30),
        concurrency,
        make_pump,
    )


def database(kernel: Kernel) -> Database:
    assert isinstance(kernel.jobs, SqlJobs)
    return kernel.jobs._database


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with kernel_of(paint_type(first_delay=60)) as kernel:
        yield kernel


async def test_no_more_jobs_than_asked_for_are_processed_and_each_is_told(kernel: Kernel) -> None:
    ids = [await kernel.submit(n) for n in range(5)]
    done = await processing(kernel, concurrency=2).due(3, ["paint"])
    assert (done.success, done.processed, done.failed, done.message) == (True, 3, 0, "processed 3 jobs")
    assert [(it.id, it.type, it.status) for it in done.jobs] == [
        (id_, "paint", "completed") for id_ in ids[:3]
    ]
    states = [(await kernel.jobs.get(id_)).state for id_ in ids]
    assert states == [JobState.COMPLETED] * 3 + [JobState.PENDING] * 2


async def test_it_comes_back_when_nothing_is_left(kernel: Kernel) -> None:
    await kernel.submit()
    await kernel.submit(run_at=utc_now() + timedelta(hours=1))
    process = processing(kernel)
    async with asyncio.timeout(5):
        assert (await process.due(100, ["paint"])).processed == 1
        nothing = await process.due(100, ["paint"])
    assert (nothing.success, nothing.message, nothing.jobs) == (True, "nothing is due", ())


async def test_an_attempt_that_fails_is_counted_and_not_waited_for(kernel: Kernel) -> None:
    kernel.brush.deed.append(failing(RuntimeError("no"), _Refused("never")))
    await kernel.submit()
    await kernel.submit()
    await kernel.submit()
    done = await processing(kernel, concurrency=1).due(10, ["paint"])
    assert (done.success, done.processed, done.failed) == (False, 3, 2)
    assert [(it.status, it.problem) for it in done.jobs] == [
        ("retrying", "RuntimeError"),
        ("failed", "_Refused"),
        ("completed", None),
    ]
    assert done.message == "processed 3 jobs, 2 failed"


class _Refused(DomainError):
    """No."""


async def test_one_job_is_processed_whatever_else_is_due(kernel: Kernel) -> None:
    other, wanted = await kernel.submit(), await kernel.submit()
    done = await processing(kernel).one(wanted)
    assert (done.success, done.processed, [it.id for it in done.jobs]) == (True, 1, [wanted])
    assert (await kernel.jobs.get(other)).state is JobState.PENDING


async def test_a_job_that_is_not_due_is_left_and_why_is_told(kernel: Kernel) -> None:
    later = await kernel.submit(run_at=utc_now() + timedelta(hours=1))
    done = await processing(kernel).one(later)
    assert (done.success, done.processed, done.message) == (
        False,
        0,
        "nothing was done: the job is scheduled",
    )
    ready = await kernel.submit()
    await processing(kernel).one(ready)
    again = await processing(kernel).one(ready)
    assert (again.success, again.processed, again.jobs[0].status) == (True, 0, "completed")
    with pytest.raises(JobNotFound):
        await processing(kernel).one(uuid4())


async def test_a_paused_type_is_not_processed(kernel: Kernel) -> None:
    assert isinstance(kernel.jobs, SqlJobs)
    job_id = await kernel.submit()
    await SqlJobControl(database(kernel)).pause("paint", utc_now())
    assert (await processing(kernel).due(5, ["paint"])).processed == 0
    assert "paused" in (await processing(kernel).one(job_id)).message


async def test_the_job_of_a_dead_worker_is_found(kernel: Kernel) -> None:
    dead, job_id = Worker(uuid4(), "dead"), await kernel.submit()
    await kernel.upkeep.beat(dead, utc_now() - timedelta(minutes=5))
    await kernel.leases.exchange(dead, [], Wanted([Share("paint", 1)], [uuid4()]), utc_now())
    done = await processing(kernel).due(5, ["paint"])
    assert [(it.id, it.status) for it in done.jobs] == [(job_id, "completed")]
    assert (await kernel.jobs.get(job_id)).attempts == 2


async def test_cancelled_it_hands_back_what_it_runs(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    job_id = await kernel.submit()
    driving = asyncio.create_task(processing(kernel).due(5, ["paint"]))
    await asyncio.wait_for(kernel.brush.started.wait(), 5)
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    job = await kernel.jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.PENDING, 0)


async def test_two_drivers_at_once_do_each_job_once(kernel: Kernel) -> None:
    ids = [await kernel.submit(n) for n in range(20)]
    done = await asyncio.gather(*(processing(kernel).due(20, ["paint"]) for _ in range(2)))
    assert sorted(job.id for it in done for job in it.jobs) == sorted(ids)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["", "after"], ["after", "before", "after"]])
async def test_a_bad_line_costs_no_job_and_no_more_than_the_limit(kernel: Kernel, faults: list[str]) -> None:
    for n in range(6):
        await kernel.submit(n)
    kernel.leases = Flaky(kernel.leases, faults)
    done = await processing(kernel, concurrency=2).due(4, ["paint"])
    assert (done.processed, done.failed, len({it.id for it in done.jobs})) == (4, 0, 4)


async def test_what_is_due_by_a_schedule_is_done_and_what_is_old_goes(kernel: Kernel) -> None:
    old = await kernel.submit()
    assert (await processing(kernel).due(10, ["paint"])).processed == 1
    schedules = KeepSchedules(SqlSchedules(database(kernel)), kernel.submit_job, read_timing, kernel.now)
    await schedules.define(Definition("hourly", "paint", {"walls": 1}, "every 1h"), by="ada")
    kernel.now = lambda: utc_now() + timedelta(days=2)
    done = await processing(kernel).due(10, ["paint"])
    assert (done.processed, done.failed) == (1, 0)
    assert done.jobs[0].id != old
    with pytest.raises(JobNotFound):
        await kernel.jobs.get(old)


async def test_a_job_that_ends_while_the_store_is_asked_does_not_end_the_processing(kernel: Kernel) -> None:
    """The slot is taken when the store is asked, and free when it answers: more is due all the same."""
    held, go = asyncio.Event(), asyncio.Event()

    async def first_waits(job: JobContext, painted: int) -> int:
        if not held.is_set():
            held.set()
            await go.wait()
        return painted

    class Slow(Flaky):
        async def exchange(self, *asked: Any) -> Exchange:
            answer = await super().exchange(*asked)
            if held.is_set() and not go.is_set():
                go.set()
                await asyncio.sleep(0.1)  # the job ends now, before the answer is there
            return answer

    kernel.brush.deed.append(first_waits)
    for n in range(3):
        await kernel.submit(n)
    kernel.leases = Slow(kernel.leases, [])
    assert (await processing(kernel, concurrency=1).due(3, ["paint"])).processed == 3


async def test_a_store_that_stays_away_is_told(kernel: Kernel) -> None:
    await kernel.submit()
    kernel.leases = Flaky(kernel.leases, ["before"] * 50)
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(processing(kernel).due(1, ["paint"]), 30)


async def test_the_library_drives_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    async with Forgehand() as hand:
        job_id = await hand.submit("generate-docs", repo=str(tmp_path), number=1)
        done = await hand.process(limit=5)
        assert [(it.id, it.status) for it in done.jobs] == [(job_id, "failed")]
        assert (done.success, done.failed) == (False, 1)
        assert (await hand.process_job(job_id)).message == "nothing was done: the job is failed"
        with pytest.raises(UnknownJobType):
            await hand.process(types=["unheard-of"])
