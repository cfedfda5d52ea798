"""A job type that does what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, Policy
from forgehand.domain.jobs import RetryPolicy

Deed = Callable[[JobContext, int], Awaitable[int]]


class PaintRequest(JobRequest):
    """How many walls."""

    walls: int = 1


class PaintResult(JobResult):
    """How many were painted."""

    painted: int


@dataclass(frozen=True, slots=True)
class Brush:
    """What `Paint` does with a job. `started` is set when one begins; `hold` keeps it until set."""

    deed: list[Deed] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    cleaned: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Paint:
    """Paint walls."""

    brush: Brush

    async def execute(self, request: PaintRequest, job: JobContext) -> PaintResult:
        painted = request.walls
        for deed in self.brush.deed:
            painted = await deed(job, painted)
        return PaintResult(painted=painted)


def paint_type(attempts: int = 3, **policy: Any) -> JobType:
    retry = RetryPolicy(attempts, timedelta(seconds=policy.pop("first_delay", 0)))
    return JobType("paint", PaintRequest, PaintResult, Policy(retry, **policy), Paint)
