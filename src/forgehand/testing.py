"""For tests of code that submits jobs, and of job types: in memory, with no server and no waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from forgehand.application.clock import new_id
from forgehand.application.jobs.job_type import JobType, JobTypes
from forgehand.application.ports.jobs import JobFilter
from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.application.registry import JOB_TYPES
from forgehand.client import Forgehand
from forgehand.container import ScriptedModel, embedded_bell
from forgehand.domain.jobs import Job, JobState

START = datetime(2026, 1, 1, tzinfo=UTC)
_MOST_ATTEMPTS = 100


class FrozenClock:
    """A clock that stands still until it is moved: call it for the time."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        """By keywords of timedelta: `advance(minutes=5)`."""
        self.now += timedelta(**duration)
        return self.now


class Workbench(Forgehand):
    """A Forgehand whose time stands still, whose model reads a script, and which runs jobs when told to.

    `replies` are the model's answers, as in a script file. `job_types` are known beside the built-in
    ones. Other keywords are settings. Retries wait exactly as long as their policy says, and neither
    rates nor limits of how many run hold anything up.
    """

    def __init__(
        self,
        *,
        now: datetime = START,
        replies: Iterable[Mapping[str, Any]] = (),
        job_types: Iterable[JobType] = (),
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.clock = FrozenClock(now)
        self.model = ScriptedModel(replies)
        self._parts = {"clock": self.clock, "model": self.model, "jitter": _none}
        if own := list(job_types):
            self._parts["job_types"] = JobTypes([*JOB_TYPES, *own])

    async def __aenter__(self) -> Self:
        bell = self._parts["bell"] = embedded_bell()
        self._open.push_async_callback(asyncio.to_thread, bell.close)
        return await super().__aenter__()

    async def submitted(self, job_type: str | None = None) -> list[Job]:
        """All jobs, or those of that type, as they are now; the first submitted first."""
        return await self._jobs(JobFilter(types=[job_type] if job_type else []))

    async def run_due(self) -> list[Job]:
        """Run what is due, one after another as a worker would take it, and what that makes due.

        One attempt each. The jobs that ran, as they are then; look at `problem` for what went wrong.
        """
        await self._container.upkeep().release(self.clock())
        ran: dict[UUID, bool] = {}
        while job := await self._next(ran):
            ran[job.id] = await self._attempt(job)
        return [await self.job(job_id) for job_id, did in ran.items() if did]

    async def drain(self) -> list[Job]:
        """Run all that can be run, retries and later jobs too: the clock goes on to each in its turn.

        Each job once, as it ended. Jobs of paused types stay. Raise RuntimeError where there is no end.
        """
        ran: Counter[UUID] = Counter()
        while True:
            ran.update([job.id for job in await self.run_due()])
            if endless := [job_id for job_id, times in ran.items() if times > _MOST_ATTEMPTS]:
                raise RuntimeError(f"job {endless[0]} still asks to be run after {_MOST_ATTEMPTS} times")
            ahead = [job.run_at for job in await self._runnable()]
            if not ahead:
                return [await self.job(job_id) for job_id in ran]
            self.clock.now = max(self.clock.now, min(ahead))

    async def _ended(self, job_id: UUID) -> Job:
        while not (job := await self.job(job_id)).state.ended:
            self.clock.now = max(self.clock.now, job.run_at)
            if not await self._attempt(job):
                raise RuntimeError(
                    f"job {job_id} cannot be run now: its type is paused, or it waits for others"
                )
        return job

    async def _jobs(self, wanted: JobFilter) -> list[Job]:
        found: list[Job] = []
        page = await self._container.jobs().page(wanted)
        found += page.items
        while page.next_cursor is not None:
            page = await self._container.jobs().page(wanted, cursor=page.next_cursor)
            found += page.items
        return found[::-1]

    async def _runnable(self) -> list[Job]:
        """What waits for nothing but its time."""
        paused = await self._container.control().paused()
        pending = await self._jobs(JobFilter(states=[JobState.PENDING]))
        return [job for job in pending if not job.blockers and job.type not in paused]

    async def _next(self, ran: Mapping[UUID, bool]) -> Job | None:
        due = [job for job in await self._runnable() if job.run_at <= self.clock() and job.id not in ran]
        return min(due, key=lambda job: (-job.priority, job.run_at, job.id), default=None)

    async def _attempt(self, job: Job) -> bool:
        """One attempt, by the path that a worker takes."""
        leases, upkeep, now = self._container.leases(), self._container.upkeep(), self.clock()
        worker = Worker(new_id(now), "workbench")
        await upkeep.beat(worker, now)
        wanted = Wanted([Share(job.type, 1)], [new_id(now)], job.id)
        claimed = (await leases.exchange(worker, [], wanted, now)).claimed
        for it in claimed:
            settlement = await self._container.run_job().run(it)
            await leases.exchange(worker, [settlement] if settlement else [], None, self.clock())
            await upkeep.release(self.clock())
        await upkeep.retire(worker)
        return bool(claimed)


def _none() -> float:
    return 0.0
