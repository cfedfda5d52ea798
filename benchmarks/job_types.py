"""The jobs that are measured: they do nothing, count in Redis, or wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from redis.asyncio import Redis

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, Policy

_AT_ONCE = 2_000


class Numbered(JobRequest):
    """A job among many."""

    number: int


class Nothing(JobResult):
    """Nothing comes of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the handlers did: which jobs ran, and when (`time.time`)."""

    ran: list[UUID]
    at: list[float]
    client: Redis
    counter: str

    def saw(self, job_id: UUID) -> None:
        self.at.append(time.time())
        self.ran.append(job_id)


@dataclass(frozen=True, slots=True)
class Noop:
    """Do nothing."""

    seen: Seen

    async def execute(self, request: Numbered, job: JobContext) -> Nothing:
        self.seen.saw(job.job_id)
        return Nothing()


@dataclass(frozen=True, slots=True)
class Incr:
    """Count in Redis."""

    seen: Seen

    async def execute(self, request: Numbered, job: JobContext) -> Nothing:
        await self.seen.client.incr(self.seen.counter)
        self.seen.saw(job.job_id)
        return Nothing()


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait, as for an answer from far away."""

    seen: Seen

    async def execute(self, request: Numbered, job: JobContext) -> Nothing:
        self.seen.saw(job.job_id)
        await asyncio.sleep(3600)
        return Nothing()


_POLICY = Policy(timeout=timedelta(hours=2), concurrency=_AT_ONCE, rate=None)
_OTHERS = tuple(JobType(f"other-{number}", Numbered, Nothing, Policy(), Noop) for number in range(9))
JOB_TYPES = (
    JobType("noop", Numbered, Nothing, _POLICY, Noop),
    JobType("incr", Numbered, Nothing, _POLICY, Incr),
    JobType("wait", Numbered, Nothing, _POLICY, Wait),
    *_OTHERS,
)
"""A dozen, as a worker of all types has; nine with the limits that types have unless told otherwise."""
