"""What an operator does to jobs: choose, cancel, replay, pause, resume, purge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from forgehand.application.clock import Clock
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.jobs import JobControl, JobFilter, Jobs
from forgehand.application.ports.upkeep import SeenWorker, Upkeep
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import Condition, Job, JobState

BATCH = 500


class InvalidSelection(DomainError):
    """The words that choose jobs do not say which."""


class AlreadyEnded(DomainError):
    """The job ended: it cannot be cancelled any more."""


class NotReplayable(DomainError):
    """Only a failed or cancelled job can be replayed, and only while its unique key is free."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs, in words. `states` are states or conditions; nothing given means all there are."""

    types: Sequence[str] = ()
    states: Sequence[str] = ()
    tag: str | None = None
    submitted_by: str | None = None
    ids: Sequence[UUID] = ()

    @property
    def empty(self) -> bool:
        return not (self.types or self.states or self.tag or self.submitted_by or self.ids)

    def read(self, known: JobTypes, now: datetime) -> JobFilter:
        """Raise UnknownJobType or InvalidSelection."""
        states, conditions = set(), set()
        for word in self.states:
            if word in set(JobState):
                states.add(JobState(word))
            elif word in set(Condition):
                conditions.add(Condition(word))
            else:
                there_are = ", ".join([*JobState, *Condition])
                raise InvalidSelection(f"{word[:40]!r} is no state; there are: {there_are}")
        return JobFilter(
            types=[known.named(name).name for name in self.types],
            states=states,
            conditions=conditions,
            now=now,
            submitted_by=self.submitted_by,
            tag=self.tag,
            ids=self.ids,
        )


@dataclass(frozen=True, slots=True)
class OperateJobs:
    """Changes jobs and queues, and wakes who has to know. Whatever is done to many goes in batches."""

    jobs: Jobs
    control: JobControl
    upkeep: Upkeep
    bell: Bell
    clock: Clock
    lease_time: timedelta

    async def workers(self) -> Sequence[tuple[SeenWorker, bool]]:
        """All workers, each with whether it was seen within a lease."""
        now = self.clock()
        return [(it, now - it.seen_at < self.lease_time) for it in await self.upkeep.workers()]

    async def cancel(self, wanted: JobFilter) -> int:
        """Cancel all that are pending, ask for the end of those that run; how many changed."""
        changed = 0
        while jobs := await self.control.cancel(wanted, self.clock(), limit=BATCH):
            changed += len(jobs)
            self.bell.ring(TOLD)
            if any(job.state is JobState.CANCELLED for job in jobs):
                # Others may have waited for them.
                self._ring(await self.upkeep.release(self.clock()))
            if len(jobs) < BATCH:
                break
        return changed

    async def cancel_one(self, job_id: UUID) -> Job:
        """The job as it is then; cancelling again changes nothing. Raise JobNotFound or AlreadyEnded."""
        await self.cancel(JobFilter(ids=[job_id]))
        job = await self.jobs.get(job_id)
        if job.state in {JobState.COMPLETED, JobState.FAILED}:
            raise AlreadyEnded(f"job {job_id} is {job.state} already")
        return job

    async def replay(self, wanted: JobFilter) -> int:
        """Failed and cancelled jobs start anew, with all their attempts; how many."""
        changed = 0
        while jobs := await self.control.replay(wanted, self.clock(), limit=BATCH):
            changed += len(jobs)
            self._ring({job.type for job in jobs} | {TOLD})
        return changed

    async def replay_one(self, job_id: UUID) -> Job:
        """The job as it is then. Raise JobNotFound or NotReplayable."""
        job = await self.jobs.get(job_id)
        if job.state not in {JobState.FAILED, JobState.CANCELLED}:
            raise NotReplayable(
                f"job {job_id} is {job.state}: only failed and cancelled jobs can be replayed"
            )
        if not await self.replay(JobFilter(ids=[job_id])):
            raise NotReplayable(f"another job has the unique key of job {job_id} now")
        return await self.jobs.get(job_id)

    async def pause(self, type_name: str) -> None:
        await self.control.pause(type_name, self.clock())

    async def resume(self, type_name: str) -> None:
        await self.control.resume(type_name)
        self._ring({type_name})

    async def purge(self, wanted: JobFilter, older_than: timedelta) -> int:
        """Delete the jobs that ended so long ago; how many."""
        before, gone = self.clock() - older_than, 0
        while count := await self.control.purge(wanted, before, limit=BATCH):
            gone += count
        return gone

    async def to_cancel(self, wanted: JobFilter) -> int:
        """How many `cancel` is about."""
        return await self._count(wanted, {JobState.PENDING, JobState.RUNNING})

    async def to_replay(self, wanted: JobFilter) -> int:
        """How many `replay` is about."""
        return await self._count(wanted, {JobState.FAILED, JobState.CANCELLED})

    async def to_purge(self, wanted: JobFilter) -> int:
        """How many ended jobs are wanted, of whatever age."""
        return await self._count(wanted, {state for state in JobState if state.ended})

    async def _count(self, wanted: JobFilter, among: set[JobState]) -> int:
        if wanted.states or wanted.conditions:
            states = among & set(wanted.states)
            conditions = {it for it in wanted.conditions if _STATE_OF[it] in among}
            if not (states or conditions):
                return 0
            return await self.control.count(replace(wanted, states=states, conditions=conditions))
        return await self.control.count(replace(wanted, states=among))

    def _ring(self, queues: set[str] | frozenset[str]) -> None:
        for queue in queues:
            self.bell.ring(queue)


_STATE_OF = {
    Condition.WAITING: JobState.PENDING,
    Condition.SCHEDULED: JobState.PENDING,
    Condition.RETRYING: JobState.PENDING,
    Condition.CANCELLING: JobState.RUNNING,
    Condition.DEAD: JobState.FAILED,
}
