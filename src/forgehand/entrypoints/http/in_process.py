"""Jobs that run in this process because somebody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from forgehand.application.jobs.run_now import RunNow
from forgehand.application.ports.jobs import Jobs
from forgehand.domain.jobs import Job

logger = logging.getLogger(__name__)


class InProcess:
    """Runs jobs here, `slots` at a time, and goes on with them when nobody waits any more."""

    def __init__(self, jobs: Jobs, run_now: RunNow, slots: int) -> None:
        self._jobs = jobs
        self._run_now = run_now
        self._slots = asyncio.Semaphore(slots)
        self._running: dict[UUID, asyncio.Task[Job]] = {}
        self._closed = False

    async def wait_for(self, job: Job, seconds: int | None) -> Job:
        """The job as it stands when it ended or `seconds` are over. None: as it stands now."""
        if seconds is None or job.state.ended or self._closed:
            return job
        task = self._running.get(job.id) or self._start(job.id)
        await asyncio.wait({task}, timeout=seconds)
        if task.done() and not task.cancelled():
            return task.result()
        return await self._jobs.get(job.id)

    async def close(self) -> None:
        """Hand back what still runs; whoever waits for it is answered. Later calls start nothing."""
        self._closed = True
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def opened(self, _app: object) -> AsyncIterator[None]:
        """A lifespan of Litestar's."""
        try:
            yield
        finally:
            await self.close()

    def _start(self, job_id: UUID) -> asyncio.Task[Job]:
        task = asyncio.create_task(self._run(job_id), name=f"job {job_id}")
        self._running[job_id] = task
        task.add_done_callback(lambda ended: self._forget(job_id, ended))
        return task

    async def _run(self, job_id: UUID) -> Job:
        async with self._slots:
            return await self._run_now.run(job_id)

    def _forget(self, job_id: UUID, task: asyncio.Task[Job]) -> None:
        del self._running[job_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("job %s is left to the workers: %s", job_id, type(error).__name__)
