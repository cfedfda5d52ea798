"""Running one job in this process, now: the same path as any worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from forgehand.application.jobs.pump import Pump
from forgehand.application.ports.jobs import Jobs
from forgehand.domain.jobs import Job

_LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class RunNow:
    """Claims one job, runs it here with its retries, and waits where another worker has it already."""

    jobs: Jobs
    make_pump: Callable[[str, UUID], Pump]

    async def run(self, job_id: UUID) -> Job:
        """The job when it has ended. Raise JobNotFound. Cancelled: the job is handed back unspent."""
        job = await self.jobs.get(job_id)
        if job.state.ended:
            return job
        pump = self.make_pump(job.type, job_id)
        pumping = asyncio.create_task(pump.run(grace=0))
        try:
            while not job.state.ended:
                await pump.settled(_LOOK_EVERY)
                job = await self.jobs.get(job_id)
            return job
        finally:
            pump.stop()
            await pumping
