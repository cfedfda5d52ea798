"""Real workers, and how they and their jobs end: in good order, late, deaf, blocked and forked."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import pytest
from sqlalchemy import update

from forgehand.application.clock import utc_now
from forgehand.application.jobs.submit import Order
from forgehand.application.ports.jobs import JobFilter
from forgehand.container import Container, opened
from forgehand.domain.jobs import Attempt, AttemptOutcome, Job, JobState
from forgehand.infrastructure.sql.tables import jobs
from forgehand.settings import load
from tests.fakes.worker_main import MODULE, lines, with_ordeals
from tests.processes import Running, forgehand, several

T = TypeVar("T")

LEASE = 3.0
GRACE = 1.0


@dataclass
class Yard:
    """A database, perhaps a Redis, and workers that run ordeals on them."""

    folder: Path
    environment: dict[str, str]
    container: Container
    workers: list[Running] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def worker(self) -> Running:
        log = self.folder / f"worker{len(self.workers)}.log"
        worker = Running(environment=self.environment, log=log, module=MODULE)
        self.workers.append(worker)
        worker.said("working on")
        return worker

    async def submit(self, way: str, times: int = 1, **fields: Any) -> list[UUID]:
        orders = [Order("ordeal", {"way": way, "ledger": str(self.ledger), **fields}) for _ in range(times)]
        submissions = await self.container.submit_job().submit_many(orders, by="tests")
        return [submission.job.id for submission in submissions]

    async def started(self, times: int = 1) -> None:
        await until(lambda: self.noted("start", times), "started")

    async def noted(self, what: str, times: int = 1) -> bool | None:
        return lines(self.ledger, what) >= times or None

    async def cancel(self, job_id: UUID) -> None:
        await self.container.control().cancel(JobFilter(ids=[job_id]), utc_now())

    async def job(self, job_id: UUID) -> Job:
        return await self.container.jobs().get(job_id)

    async def ended(self, job_id: UUID, within: float = 20) -> Job:
        async def look() -> Job | None:
            job = await self.job(job_id)
            return job if job.state.ended else None

        return await until(look, f"the end of {job_id}", within)

    async def states(self) -> dict[JobState, int]:
        page = await self.container.jobs().page(JobFilter(), limit=100)
        found = [job.state for job in page.items]
        return {state: found.count(state) for state in set(found)}

    async def attempts(self, job_id: UUID) -> list[AttemptOutcome | None]:
        attempts: list[Attempt] = list(await self.container.jobs().attempts(job_id))
        return [attempt.outcome for attempt in attempts]


async def until(look: Callable[[], Awaitable[T | None]], what: str, within: float = 20) -> T:
    deadline = time.monotonic() + within
    while (found := await look()) is None:
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def yard_of(folder: Path, **environment: str) -> AsyncIterator[Yard]:
    environment = {
        "FORGEHAND_HOME": str(folder / "home"),
        "FORGEHAND_CONCURRENCY": "60",
        "FORGEHAND_LEASE_SECONDS": str(LEASE),
        "FORGEHAND_GRACE_SECONDS": str(GRACE),
        **environment,
    }
    upgraded = await asyncio.to_thread(forgehand, "db", "upgrade", environment=environment)
    assert upgraded.returncode == 0, upgraded.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        async with opened(load()) as container:
            yard = Yard(folder, environment, with_ordeals(container))
            try:
                yield yard
            finally:
                with several(*yard.workers):
                    pass


@pytest.fixture(params=["postgresql", "sqlite"])
async def yard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Yard]:
    if request.param == "sqlite":
        async with yard_of(tmp_path) as yard:
            yield yard
    else:
        urls = {
            "DATABASE_URL": request.getfixturevalue("postgres_url"),
            "REDIS_URL": request.getfixturevalue("redis_url"),
        }
        async with yard_of(tmp_path, **urls) as yard:
            yield yard


async def exit_of(worker: Running, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
    """Its exit code, and the seconds that it took."""
    began = time.monotonic()
    code = await asyncio.to_thread(worker.end, how)
    return code, time.monotonic() - began


async def test_sigterm_with_fifty_jobs_ends_in_time_and_all_are_handed_back_unspent(yard: Yard) -> None:
    worker = yard.worker()
    ids = await yard.submit("wait", 50, clean_up=1)
    await yard.started(50)
    code, took = await exit_of(worker)
    assert code == 0, worker.log.read_text()
    assert GRACE < took < GRACE + 5
    assert lines(yard.ledger, "clean") == 50, "each was let finish its clean-up"
    assert await yard.states() == {JobState.PENDING: 50}
    assert {(await yard.job(id_)).attempts for id_ in ids} == {0}
    assert await yard.attempts(ids[0]) == [AttemptOutcome.RETURNED]


async def test_a_second_sigterm_ends_at_once_and_the_lease_covers_the_jobs(yard: Yard) -> None:
    worker = yard.worker()
    [id_] = await yard.submit("wait", clean_up=30)
    await yard.started()
    worker.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    code, took = await exit_of(worker)
    assert (code, took < 2) == (128 + signal.SIGTERM, True)
    assert (await yard.job(id_)).state is JobState.RUNNING
    yard.worker()
    await until(lambda: yard.noted("start 2"), "its rescue", 2 * LEASE + 3)
    assert await yard.attempts(id_) == [AttemptOutcome.LOST, None]


async def test_a_job_that_ends_during_the_grace_is_settled_then(yard: Yard) -> None:
    worker = yard.worker()
    long, short = *(await yard.submit("wait")), *(await yard.submit("wait", seconds=1))
    await yard.started(2)
    worker.process.send_signal(signal.SIGTERM)
    assert (await yard.ended(short)).state is JobState.COMPLETED
    assert (await exit_of(worker, signal.SIGCONT))[0] == 0
    assert (await yard.job(long)).attempts == 0


async def test_a_deaf_job_does_not_keep_its_worker_and_is_rescued(yard: Yard) -> None:
    worker = yard.worker()
    deaf, waiting = *(await yard.submit("swallow")), *(await yard.submit("wait"))
    await yard.started(2)
    _, took = await exit_of(worker)
    assert took < GRACE + 5
    assert "1 jobs do not let themselves be cancelled" in worker.log.read_text()
    assert (await yard.job(waiting)).attempts == 0
    assert (await yard.job(deaf)).state is JobState.RUNNING, "it runs until its process ends, and no longer"
    yard.worker()
    await until(lambda: yard.noted("start 2"), "its rescue", 2 * LEASE + 3)
    assert (await yard.attempts(deaf))[0] is AttemptOutcome.LOST


@pytest.mark.parametrize("way", ["block", "thread"])
async def test_neither_a_blocked_loop_nor_a_stuck_thread_keeps_a_worker_from_ending(
    yard: Yard, way: str
) -> None:
    worker = yard.worker()
    await yard.submit(way)
    await yard.started()
    _, took = await exit_of(worker)
    assert took < GRACE + 5.2


async def test_a_second_sigterm_ends_a_worker_whose_loop_is_blocked(yard: Yard) -> None:
    worker = yard.worker()
    await yard.submit("block")
    await yard.started()
    worker.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    _, took = await exit_of(worker)
    assert took < 2


async def test_a_job_cancelled_from_another_process_stops_within_two_seconds(yard: Yard) -> None:
    yard.worker()
    [id_] = await yard.submit("wait")
    await yard.started()
    await yard.cancel(id_)
    job = await yard.ended(id_, within=4)
    assert job.state is JobState.CANCELLED
    assert job.finished_at is not None
    assert job.cancel_at is not None
    assert (job.finished_at - job.cancel_at).total_seconds() < 2
    assert await yard.noted("clean")


async def test_a_job_that_swallows_its_cancellation_is_cancelled_again(yard: Yard) -> None:
    yard.worker()
    [id_] = await yard.submit("swallow_once")
    await yard.started()
    await yard.cancel(id_)
    await until(lambda: yard.noted("swallowed"), "that it was cancelled", 2)
    assert (await yard.ended(id_, within=8)).state is JobState.CANCELLED


async def test_the_clean_up_of_a_cancelled_job_is_not_disturbed_by_the_next_turn(yard: Yard) -> None:
    yard.worker()
    [id_] = await yard.submit("wait", clean_up=2.5)
    await yard.started()
    await yard.cancel(id_)
    await yard.submit("wait", 20, seconds=0.1)
    assert (await yard.ended(id_)).state is JobState.CANCELLED
    assert await yard.noted("clean", 21)


async def test_an_error_that_a_job_makes_of_its_cancellation_changes_nothing(yard: Yard) -> None:
    worker = yard.worker()
    cancelled, returned = await yard.submit("turn", 2)
    await yard.started(2)
    await yard.cancel(cancelled)
    job = await yard.ended(cancelled)
    assert (job.state, job.attempts) == (JobState.CANCELLED, 1)
    assert (await exit_of(worker))[0] == 0
    job = await yard.job(returned)
    assert (job.state, job.attempts) == (JobState.PENDING, 0)


async def test_the_job_of_a_blocked_worker_is_rescued_and_its_late_outcome_refused(yard: Yard) -> None:
    blocked = yard.worker()
    [id_] = await yard.submit("block_once", seconds=2.5 * LEASE)
    await yard.started()
    began = time.monotonic()
    rescuer = yard.worker()
    job = await yard.ended(id_, within=2 * LEASE + 2)
    assert time.monotonic() - began < 2 * LEASE + 1
    assert (job.state, job.result) == (JobState.COMPLETED, {"pid": rescuer.pid})
    blocked.said("has not turned for")
    blocked.said("turns again", within=3 * LEASE)
    await until(lambda: yard.noted("end", 2), "the late end", 3 * LEASE)
    assert (await yard.job(id_)).result == {"pid": rescuer.pid}
    assert await yard.attempts(id_) == [AttemptOutcome.LOST, AttemptOutcome.COMPLETED]
    [again] = await yard.submit("wait", seconds=0)
    assert (await yard.ended(again)).state is JobState.COMPLETED


@pytest.mark.parametrize("way", ["fork", "fork_below"])
async def test_a_copy_that_a_job_forks_never_becomes_a_second_worker(yard: Yard, way: str) -> None:
    worker = yard.worker()
    [id_] = await yard.submit(way, seconds=1)
    assert (await yard.ended(id_)).result == {"pid": worker.pid}
    assert await yard.attempts(id_) == [AttemptOutcome.COMPLETED]
    assert lines(yard.ledger, "end 1") == 1
    left = [child for child in psutil.Process(worker.pid).children() if child.status() != "zombie"]
    assert left == []
    assert (await exit_of(worker))[0] == 0


@pytest.mark.parametrize(
    ("way", "kind"), [("leave", "RuntimeError"), ("cancel_itself", "CancelledFromInside")]
)
async def test_what_a_job_does_to_its_own_task_costs_its_attempts_and_no_other_job(
    yard: Yard, way: str, kind: str
) -> None:
    worker = yard.worker()
    [beside] = await yard.submit("wait", seconds=2)
    [id_] = await yard.submit(way)
    job = await yard.ended(id_)
    assert (job.state, job.attempts) == (JobState.FAILED, 3)
    assert job.problem is not None
    assert job.problem.kind == kind
    assert (await yard.ended(beside)).attempts == 1
    assert worker.process.poll() is None


async def test_a_worker_keeps_house_too(yard: Yard) -> None:
    yard.worker()
    old, new = await yard.submit("wait", 2, seconds=0)
    for id_ in (old, new):
        await yard.ended(id_)
    long_ago = utc_now() - timedelta(days=3)
    async with yard.container.database().write() as connection:
        await connection.execute(update(jobs).where(jobs.c.id == old).values(finished_at=long_ago))
    yard.worker()

    async def purged() -> bool | None:
        page = await yard.container.jobs().page(JobFilter(ids=[old, new]))
        return [job.id for job in page.items] == [new] or None

    await until(purged, "that the old job, and no other, is purged")
