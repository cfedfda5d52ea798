"""Submitting, pumping, retrying and running now, over SQLite in memory and the in-process bell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from dramatiq import Message

from forgehand.application.clock import utc_now
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.heart import Watch
from forgehand.application.jobs.job_type import InvalidJobType, JobType, JobTypes, UnknownJobType
from forgehand.application.jobs.pump import Pump
from forgehand.application.jobs.run_now import RunNow
from forgehand.application.jobs.running import RetryLater, RunJob
from forgehand.application.jobs.submit import InvalidRequest, Order, SubmitJob, Terms
from forgehand.application.ports.failures import Permanent, Transient
from forgehand.application.ports.jobs import JobNotFound, Jobs, StoreUnavailable
from forgehand.application.ports.leases import Exchange, Leases, Share, Wanted, Worker
from forgehand.application.ports.upkeep import Upkeep
from forgehand.application.redaction import Redactor
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import AttemptOutcome, EventKind, Job, JobState, Settlement
from forgehand.domain.usage import Usage
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.queue.bell import DramatiqBell
from forgehand.infrastructure.queue.embedded import EmbeddedBroker
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.leases import SqlLeases
from forgehand.infrastructure.sql.schema import prepare
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.job_types import Brush, Deed, Paint, paint_type

SECRET = "hunter2-hunter2"


@dataclass
class Kernel:
    jobs: Jobs
    leases: Leases
    upkeep: Upkeep
    bell: DramatiqBell
    types: JobTypes
    brush: Brush = field(default_factory=Brush)
    now: Callable[[], datetime] = utc_now

    @property
    def submit_job(self) -> SubmitJob:
        return SubmitJob(self.types, self.jobs, self.bell, self.now)

    def pump(self, only: UUID | None = None, **fields: Any) -> Pump:
        run_job = RunJob(
            self.types, lambda _: Paint(self.brush), self.leases, self.now, Redactor([SECRET]), lambda: 0.0
        )
        return Pump(
            run_job=run_job,
            leases=self.leases,
            upkeep=self.upkeep,
            bell=self.bell,
            clock=self.now,
            worker_label="here:1",
            only=only,
            **{"queues": {it.name: it.policy for it in self.types}, **fields},
        )

    async def submit(self, walls: int = 1, **terms: Any) -> UUID:
        submission = await self.submit_job.submit("paint", {"walls": walls}, by="ada", terms=Terms(**terms))
        return submission.job.id

    async def ended(self, job_id: UUID) -> Job:
        async with asyncio.timeout(10):
            while not (job := await self.jobs.get(job_id)).state.ended:
                await asyncio.sleep(0.005)
        return job

    @asynccontextmanager
    async def pumping(self, grace: float = 5.0, **fields: Any) -> AsyncIterator[Pump]:
        pump = self.pump(**fields)
        task = asyncio.create_task(pump.run(grace))
        try:
            yield pump
        finally:
            pump.stop()
            await asyncio.wait_for(task, 10)

    async def data(self, job_id: UUID, kind: EventKind) -> list[dict[str, Any]]:
        return [dict(event.data) for event in await self.jobs.events(job_id) if event.kind is kind]


@asynccontextmanager
async def kernel_of(*types: JobType) -> AsyncIterator[Kernel]:
    database, bell = Database("sqlite://"), embedded_bell()
    try:
        await prepare(database)
        yield Kernel(
            SqlJobs(database, utc_now), SqlLeases(database), SqlUpkeep(database), bell, JobTypes(types)
        )
    finally:
        bell.close()
        await database.close()


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with kernel_of(paint_type()) as kernel:
        yield kernel


def failing(*errors: Exception) -> Deed:
    """Raise these, one an attempt; then succeed."""
    left = list(errors)

    async def deed(job: JobContext, painted: int) -> int:
        if left:
            raise left.pop(0)
        return painted

    return deed


async def test_a_submitted_job_is_heard_of_run_and_completed(kernel: Kernel) -> None:
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit(walls=4))
    assert (job.state, job.result, job.attempts) == (JobState.COMPLETED, {"painted": 4}, 1)


async def test_jobs_submitted_before_the_worker_started_are_found(kernel: Kernel) -> None:
    ids = [await kernel.submit(n) for n in range(12)]
    async with kernel.pumping():
        jobs = [await kernel.ended(id_) for id_ in ids]
    assert [job.result for job in jobs] == [{"painted": n} for n in range(12)]


async def test_a_submission_stands_when_the_bell_is_broken(kernel: Kernel) -> None:
    kernel.bell.close()
    assert (await kernel.jobs.get(await kernel.submit())).state is JobState.PENDING


async def test_many_jobs_ring_once_for_each_queue_and_once_for_those_who_follow(kernel: Kernel) -> None:
    rung: list[str] = []

    class Counting(EmbeddedBroker):
        def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
            rung.append(message.queue_name)
            return super().enqueue(message, delay=delay)

    kernel.bell.close()
    kernel.bell = DramatiqBell(Counting())
    await kernel.submit_job.submit_many([Order("paint", {"walls": 1}) for _ in range(500)], by="ada")
    kernel.bell.close()
    assert sorted(rung) == ["_told", "paint"]


async def test_a_job_nobody_rang_for_is_found_by_polling(kernel: Kernel) -> None:
    async with kernel.pumping():
        silent = embedded_bell()
        submission = await SubmitJob(kernel.types, kernel.jobs, silent, utc_now).submit("paint", {}, by="ada")
        silent.close()
        assert (await kernel.ended(submission.job.id)).state is JobState.COMPLETED


async def test_all_faults_of_a_request_are_told_at_once_and_nothing_is_stored(kernel: Kernel) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await kernel.submit_job.submit("paint", {"walls": "many", "colour": "red"}, by="ada")
    assert {fault.field for fault in caught.value.faults} == {"walls", "colour"}
    from forgehand.application.ports.jobs import JobFilter

    assert (await kernel.jobs.page(JobFilter())).items == ()


async def test_an_unknown_type_is_refused_with_the_known_ones(kernel: Kernel) -> None:
    with pytest.raises(UnknownJobType, match="paint"):
        await kernel.submit_job.submit("sand", {}, by="ada")


def test_two_types_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidJobType):
        JobTypes([paint_type(), paint_type()])


async def test_what_may_pass_is_tried_again(kernel: Kernel) -> None:
    kernel.brush.deed.append(failing(Transient("busy"), RuntimeError("odd")))
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    assert (job.state, job.attempts) == (JobState.COMPLETED, 3)
    outcomes = [attempt.outcome for attempt in await kernel.jobs.attempts(job.id)]
    assert outcomes == [AttemptOutcome.FAILED, AttemptOutcome.FAILED, AttemptOutcome.COMPLETED]


async def test_what_is_final_is_not_tried_again(kernel: Kernel) -> None:
    for error in (Permanent("no such thing"), DomainError("against the rules")):
        kernel.brush.deed[:] = [failing(error)]
        async with kernel.pumping():
            job = await kernel.ended(await kernel.submit())
        assert (job.state, job.attempts) == (JobState.FAILED, 1)
        assert job.problem is not None
        assert (job.problem.kind, job.problem.message) == (type(error).__name__, str(error))


async def test_a_job_that_never_works_ends_dead_with_its_trace(kernel: Kernel) -> None:
    kernel.brush.deed.append(failing(*(ValueError(f"no {n}") for n in range(9))))
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    assert (job.condition(utc_now()), job.attempts) == ("dead", 3)
    assert job.problem is not None
    assert job.problem.message == "no 2"
    assert "test_kernel.py" in (job.problem.detail or "")


async def test_the_wait_doubles_and_honours_what_the_other_side_asked() -> None:
    async with kernel_of(paint_type(first_delay=60)) as kernel:
        asked = Transient("slow down", retry_after=timedelta(minutes=10))
        kernel.brush.deed.append(failing(Transient("busy"), asked))
        waits = []
        async with kernel.pumping():
            id_ = await kernel.submit()
            async with asyncio.timeout(10):
                while not (await kernel.data(id_, EventKind.RETRYING)):
                    await asyncio.sleep(0.005)
            [retry] = await kernel.data(id_, EventKind.RETRYING)
            waits.append(datetime.fromisoformat(retry["run_at"]) - utc_now())
        assert timedelta(seconds=50) < waits[0] <= timedelta(seconds=60)
        run = RunJob(
            kernel.types, lambda _: Paint(kernel.brush), kernel.leases, utc_now, Redactor(), lambda: 0.0
        )
        await kernel.upkeep.beat(worker := Worker(uuid4(), "w"), utc_now())
        later = utc_now() + timedelta(minutes=2)
        [claimed] = (
            await kernel.leases.exchange(worker, [], Wanted([Share("paint", 1)], [uuid4()]), later)
        ).claimed
        settlement = await run.run(claimed)
        assert settlement is not None
        assert settlement.run_at is not None
        assert settlement.run_at - settlement.at == timedelta(minutes=10)


async def test_a_job_over_its_time_limit_is_cancelled_and_tried_again() -> None:
    async with kernel_of(paint_type(attempts=2, timeout=timedelta(milliseconds=30))) as kernel:

        async def dawdle(job: JobContext, painted: int) -> int:
            await asyncio.sleep(30)
            return painted

        kernel.brush.deed.append(dawdle)
        async with kernel.pumping():
            job = await kernel.ended(await kernel.submit())
    assert job.problem is not None
    assert (job.problem.kind, job.attempts) == ("TimeLimitExceeded", 2)


async def test_a_job_that_asks_to_be_run_later_waits_and_spends_no_attempt() -> None:
    async with kernel_of(paint_type(attempts=1)) as kernel:
        wait = timedelta(milliseconds=30)
        kernel.brush.deed.append(failing(*(RetryLater(wait, "the shop is shut") for _ in range(3))))
        async with kernel.pumping():
            id_ = await kernel.submit()
            job = await kernel.ended(id_)
        tries = await kernel.jobs.attempts(id_)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 1)
    assert [it.outcome for it in tries] == [*[AttemptOutcome.RETURNED] * 3, AttemptOutcome.COMPLETED]
    assert tries[0].problem is not None
    assert tries[0].problem.message == "the shop is shut"
    for earlier, later in pairwise(tries):
        assert earlier.ended_at is not None
        assert later.started_at >= earlier.ended_at + wait


async def test_a_jobs_own_timeout_error_is_not_taken_for_the_time_limit(kernel: Kernel) -> None:
    kernel.brush.deed.append(failing(*(TimeoutError("the pool is full") for _ in range(3))))
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    assert job.problem is not None
    assert job.problem.kind == "TimeoutError"


async def test_a_step_is_done_once_however_often_the_job_runs(kernel: Kernel) -> None:
    paid = 0

    async def pay() -> Usage:
        nonlocal paid
        paid += 1
        return Usage(input_tokens=paid, cost=7)

    async def deed(job: JobContext, painted: int) -> int:
        usage = await job.step("pay", pay, Usage)
        if job.attempt < 3:
            raise RuntimeError("after paying")
        return usage.input_tokens

    kernel.brush.deed.append(deed)
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    assert (job.result, paid, job.attempts) == ({"painted": 1}, 1, 3)


async def test_progress_logs_and_model_calls_are_events(kernel: Kernel) -> None:
    async def deed(job: JobContext, painted: int) -> int:
        await job.progress(250, "half")
        await job.log("warning", "thin paint", litres=0.5, path=object)
        await job.model_call("acme/large", "asked", Usage())
        assert job.deadline is not None
        return painted

    kernel.brush.deed.append(deed)
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    assert await kernel.data(job.id, EventKind.PROGRESS) == [{"percent": 100, "note": "half"}]
    [log] = await kernel.data(job.id, EventKind.LOG)
    assert (log["level"], log["message"], log["litres"]) == ("warning", "thin paint", 0.5)
    [call] = await kernel.data(job.id, EventKind.MODEL_CALL)
    assert (call["model"], call["state"], call["calls"]) == ("acme/large", "asked", 0)


async def test_secrets_never_reach_a_row(kernel: Kernel) -> None:
    token = "ghp_" + "a1B2" * 9

    async def deed(job: JobContext, painted: int) -> int:
        await job.log("info", f"key {SECRET}", deep=[{"url": f"https://x:{token}@host/"}])
        await job.progress(1, SECRET)
        raise ValueError(f"GET https://user:{SECRET}@host said no to Bearer {token}")

    kernel.brush.deed.append(deed)
    async with kernel.pumping():
        job = await kernel.ended(await kernel.submit())
    written = repr((job, await kernel.jobs.events(job.id), await kernel.jobs.attempts(job.id)))
    assert SECRET not in written
    assert token not in written
    assert "[redacted]" in written


async def test_a_row_that_no_longer_parses_fails_alone(kernel: Kernel) -> None:
    good = await kernel.submit()
    from forgehand.application.ports.jobs import NewJob

    bad = NewJob(uuid4(), "paint", {"gone": 1}, 0, "ada", utc_now(), 3)
    await kernel.jobs.submit([bad])
    async with kernel.pumping():
        assert (await kernel.ended(good)).state is JobState.COMPLETED
        job = await kernel.ended(bad.id)
    assert job.problem is not None
    assert (job.problem.kind, job.attempts) == ("RequestUnreadable", 1)


async def test_no_more_jobs_run_at_once_than_there_are_slots(kernel: Kernel) -> None:
    running = most = 0
    full = asyncio.Event()

    async def deed(job: JobContext, painted: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        running -= 1
        return painted

    kernel.brush.deed.append(deed)
    ids = [await kernel.submit() for _ in range(10)]
    async with kernel.pumping(concurrency=3):
        for id_ in ids:
            await kernel.ended(id_)
    assert most == 3


async def hold(job: JobContext, painted: int, *, brush: Brush) -> int:
    brush.started.set()
    try:
        await brush.hold.wait()
    finally:
        brush.cleaned.append(f"attempt {job.attempt}")
    return painted


def holding(brush: Brush) -> Deed:
    async def deed(job: JobContext, painted: int) -> int:
        return await hold(job, painted, brush=brush)

    return deed


async def test_stopping_lets_a_job_finish_within_the_grace(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    id_ = await kernel.submit()
    async with kernel.pumping(grace=5) as pump:
        await asyncio.wait_for(kernel.brush.started.wait(), 5)
        pump.stop()
        kernel.brush.hold.set()
    assert (await kernel.jobs.get(id_)).state is JobState.COMPLETED


async def test_after_the_grace_a_job_is_handed_back_unspent_and_cleaned_up(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    id_ = await kernel.submit()
    async with kernel.pumping(grace=0):
        await asyncio.wait_for(kernel.brush.started.wait(), 5)
    job = await kernel.jobs.get(id_)
    assert (job.state, job.attempts, kernel.brush.cleaned) == (JobState.PENDING, 0, ["attempt 1"])
    kernel.brush.hold.set()
    async with kernel.pumping():
        assert (await kernel.ended(id_)).attempts == 1


async def test_a_pump_that_is_cancelled_hands_back_too(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    id_ = await kernel.submit()
    task = asyncio.create_task(kernel.pump().run())
    await asyncio.wait_for(kernel.brush.started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await kernel.jobs.get(id_)).state is JobState.PENDING


async def test_running_now_takes_the_same_path_retries_included(kernel: Kernel) -> None:
    kernel.brush.deed.append(failing(Transient("busy")))
    other = await kernel.submit()
    id_ = await kernel.submit(walls=2)
    job = await RunNow(kernel.jobs, lambda queue, only: kernel.pump(only)).run(id_)
    assert (job.state, job.result, job.attempts) == (JobState.COMPLETED, {"painted": 2}, 2)
    assert (await kernel.jobs.get(other)).state is JobState.PENDING


async def test_running_now_waits_where_a_worker_has_the_job_already(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    id_ = await kernel.submit()
    async with kernel.pumping():
        await asyncio.wait_for(kernel.brush.started.wait(), 5)
        run_now = RunNow(kernel.jobs, lambda queue, only: kernel.pump(only))
        waiting = asyncio.create_task(run_now.run(id_))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        kernel.brush.hold.set()
        job = await asyncio.wait_for(waiting, 10)
    assert (job.state, kernel.brush.cleaned) == (JobState.COMPLETED, ["attempt 1"])


async def test_running_a_job_that_does_not_exist_is_told(kernel: Kernel) -> None:
    with pytest.raises(JobNotFound):
        await RunNow(kernel.jobs, lambda queue, only: kernel.pump(only)).run(uuid4())


@dataclass
class Flaky:
    """Leases over a bad line: before some exchanges, or after them, the answer is lost."""

    inner: Leases
    faults: list[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise StoreUnavailable("the line is down")
        answer = await self.inner.exchange(worker, settlements, wanted, now)
        if fault == "after":
            raise StoreUnavailable("the line went down")
        return answer


@pytest.mark.parametrize(
    "faults",
    [
        ["before"],
        ["after"],
        ["", "after"],
        ["", "before"],
        ["", "", "after"],
        ["after", "after", "before", "after"],
    ],
)
async def test_no_outcome_and_no_claim_is_lost_on_a_bad_line(kernel: Kernel, faults: list[str]) -> None:
    kernel.leases = Flaky(kernel.leases, faults)
    ids = [await kernel.submit(n) for n in range(8)]
    async with kernel.pumping(concurrency=4):
        jobs = [await kernel.ended(id_) for id_ in ids]
    assert [job.result for job in jobs] == [{"painted": n} for n in range(8)]
    assert {job.attempts for job in jobs} == {1}
    for id_ in ids:
        completed = await kernel.data(id_, EventKind.COMPLETED)
        assert len(completed) == 1


async def test_a_worker_that_lost_its_lease_changes_nothing(kernel: Kernel) -> None:
    kernel.brush.deed.append(holding(kernel.brush))
    id_ = await kernel.submit()
    async with kernel.pumping() as slow:
        await asyncio.wait_for(kernel.brush.started.wait(), 5)
        quick = Worker(uuid4(), "quick")
        later = utc_now() + timedelta(hours=1)
        await kernel.upkeep.beat(quick, later)
        assert (await kernel.upkeep.sweep(later, timedelta(seconds=30))).rescued == 1
        wanted = Wanted([Share("paint", 1)], [uuid4()], id_)
        [stolen] = (await kernel.leases.exchange(quick, [], wanted, later)).claimed
        kernel.brush.hold.set()
        await asyncio.sleep(0.05)
        await kernel.leases.exchange(quick, [stolen.complete({"painted": 99}, later)], None, later)
        assert slow.worker.id != quick.id
    assert (await kernel.jobs.get(id_)).result == {"painted": 99}


async def test_the_jobs_of_a_dead_worker_are_rescued_by_another_one(kernel: Kernel) -> None:
    dead = Worker(uuid4(), "dead")
    await kernel.upkeep.beat(dead, utc_now() - timedelta(minutes=5))
    id_ = await kernel.submit()
    await kernel.leases.exchange(dead, [], Wanted([Share("paint", 1)], [uuid4()]), utc_now())
    async with kernel.pumping(watch=Watch(lease=0.2)):
        job = await kernel.ended(id_)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 2)
