"""Driving the system without a worker: process what is due here, now, and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from forgehand.application.clock import Clock
from forgehand.application.jobs.keeping import Keeper
from forgehand.application.jobs.pump import Pump
from forgehand.application.jobs.scheduling import Scheduler
from forgehand.application.ports.bell import Bell
from forgehand.application.ports.jobs import Jobs
from forgehand.application.ports.leases import Exchange, Leases, Wanted, Worker
from forgehand.application.ports.upkeep import Upkeep
from forgehand.domain.jobs import (
    AttemptOutcome,
    Claimed,
    EventKind,
    Job,
    JobProblem,
    JobState,
    JsonObject,
    Lease,
    Settlement,
)

_MOST_MISSES = 5


@dataclass(frozen=True, slots=True)
class ProcessedJob:
    """A job and how it is now: its state, or retrying, or lost where another process took it over."""

    id: UUID
    type: str
    status: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Processed:
    """What was done. `failed` counts the jobs whose attempt failed, those that are tried again too."""

    success: bool
    message: str
    processed: int
    failed: int
    jobs: tuple[ProcessedJob, ...] = ()


class MakePump(Protocol):
    """Makes a pump over these leases and this bell."""

    def __call__(
        self, *, leases: Leases, bell: Bell, queues: Sequence[str], concurrency: int, only: UUID | None
    ) -> Pump: ...


@dataclass(frozen=True, slots=True)
class ProcessJobs:
    """One attempt each for one job, or for those that are due; the same path as in a worker.

    Dead workers' jobs are rescued first. Cancelled, it hands back unspent what it runs. Whoever calls
    for what is due now and then needs no worker: schedules fire first, and old jobs go in the end.
    """

    jobs: Jobs
    leases: Leases
    upkeep: Upkeep
    bell: Bell
    clock: Clock
    scheduler: Scheduler
    keeper: Keeper
    lease_time: timedelta
    concurrency: int
    make_pump: MakePump

    async def due(self, limit: int, queues: Sequence[str]) -> Processed:
        """Up to `limit` jobs of `queues` that are due, as claimed by workers. Raise StoreUnavailable."""
        await self.scheduler.fire()
        await self.upkeep.sweep(self.clock(), self.lease_time)
        done = await self._drive(limit, queues, None)
        await self.keeper.tidy_if_possible()
        if not done:
            return Processed(True, "nothing is due", 0, 0)
        failed = sum(1 for it in done if it.problem is not None)
        words = f"processed {len(done)} {'job' if len(done) == 1 else 'jobs'}"
        return Processed(
            failed == 0, f"{words}, {failed} failed" if failed else words, len(done), failed, tuple(done)
        )

    async def one(self, job_id: UUID) -> Processed:
        """That job, if it is due. Raise JobNotFound or StoreUnavailable."""
        job = await self.jobs.get(job_id)
        if not job.state.ended:
            await self.upkeep.sweep(self.clock(), self.lease_time)
            if done := await self._drive(1, (job.type,), job_id):
                [it] = done
                failed = int(it.problem is not None)
                return Processed(not failed, f"the job is {it.status}", 1, failed, (it,))
            job = await self.jobs.get(job_id)
        return self._untouched(job)

    def _untouched(self, job: Job) -> Processed:
        condition = job.condition(self.clock())
        said = "the job is not to be had now: its type is paused or at its limits"
        if condition != JobState.PENDING:
            said = f"nothing was done: the job is {condition}"
        return Processed(
            job.state is JobState.COMPLETED, said, 0, 0, (ProcessedJob(job.id, job.type, condition),)
        )

    async def _drive(self, limit: int, queues: Sequence[str], only: UUID | None) -> list[ProcessedJob]:
        slots = max(1, min(limit, self.concurrency))
        allowance = _Allowance(self.leases, limit)
        pump = self.make_pump(
            leases=allowance, bell=_Deaf(self.bell), queues=queues, concurrency=slots, only=only
        )
        allowance.at_work = lambda: pump.at_work
        pumping = asyncio.create_task(pump.run(grace=0))
        idle = asyncio.create_task(allowance.idle.wait())
        try:
            await asyncio.wait({pumping, idle}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            pump.stop()
            await pumping
        if allowance.error is not None:
            raise allowance.error
        # Each job once, as its last attempt here left it.
        done = {it.job.id: await self._told(it, allowance) for it in allowance.given.values()}
        return list(done.values())

    async def _told(self, claimed: Claimed, allowance: _Allowance) -> ProcessedJob:
        settled = allowance.settled.get(claimed.lease.id)
        if settled is not None:
            return _told(claimed, settled.outcome, settled.state, settled.problem)
        # Refused as stale: another process has the job, or our word arrived and the answer did not.
        for attempt in await self.jobs.attempts(claimed.job.id):
            if attempt.lease_id == claimed.lease.id and attempt.outcome is not None:
                state = (await self.jobs.get(claimed.job.id)).state
                return _told(claimed, attempt.outcome, state, attempt.problem)
        return ProcessedJob(claimed.job.id, claimed.job.type, "lost", "LeaseLost")


class _Deaf:
    """A bell that rings for others and is not heard here: who drives by hand looks by himself."""

    def __init__(self, inner: Bell) -> None:
        self._inner = inner

    def ring(self, queue: str) -> None:
        self._inner.ring(queue)

    @asynccontextmanager
    async def listen(self, queues: Collection[str], heard: Callable[[str], None]) -> AsyncIterator[None]:
        yield


class _Allowance:
    """Leases that give out `limit` claims. `idle` is set when nothing runs and nothing more is given."""

    def __init__(self, inner: Leases, limit: int) -> None:
        self._inner = inner
        self._left = limit
        self.at_work: Callable[[], int] = lambda: 0
        self.given: dict[UUID, Claimed] = {}
        self.settled: dict[UUID, Settlement] = {}
        self._misses = 0
        self.idle = asyncio.Event()
        self.error: Exception | None = None

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        allowed = wanted and replace(wanted, lease_ids=wanted.lease_ids[: self._left])
        nothing_runs = not self.at_work()  # as asked: what ends meanwhile leaves slots to ask for
        try:
            exchange = await self._inner.exchange(worker, settlements, allowed, now)
        except Exception as error:
            self._misses += 1
            if self._misses >= _MOST_MISSES:
                self.error = error
                self.idle.set()
            raise
        self._misses = 0
        self.settled |= {it.lease.id: it for it in settlements if it.lease.id not in exchange.lost}
        self._take(exchange.claimed)
        if wanted is not None and not exchange.claimed and nothing_runs:
            self.idle.set()
        return exchange

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        found = await self._inner.held(worker)
        self._take(found)
        return found

    def _take(self, claimed: Sequence[Claimed]) -> None:
        for it in claimed:
            if it.lease.id not in self.given:
                self.given[it.lease.id] = it
                self._left = max(0, self._left - 1)

    async def report(self, lease: Lease, kind: EventKind, data: JsonObject, now: datetime) -> None:
        await self._inner.report(lease, kind, data, now)

    async def logged(self, lease: Lease) -> int:
        return await self._inner.logged(lease)

    async def recall(self, lease: Lease, key: str) -> JsonObject | None:
        return await self._inner.recall(lease, key)

    async def remember(self, lease: Lease, key: str, value: JsonObject) -> None:
        await self._inner.remember(lease, key, value)


def _told(
    claimed: Claimed, outcome: AttemptOutcome, state: JobState, problem: JobProblem | None
) -> ProcessedJob:
    failed = outcome in {AttemptOutcome.FAILED, AttemptOutcome.LOST}
    status = "retrying" if failed and state is JobState.PENDING else state.value
    kind = problem.kind if failed and problem else None
    return ProcessedJob(claimed.job.id, claimed.job.type, status, kind)
