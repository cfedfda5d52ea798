"""Jobs that run in this process because somebody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from forgehand.application.jobs.processing import Processed, ProcessJobs
from forgehand.application.jobs.run_now import RunNow
from forgehand.application.ports.jobs import Jobs
from forgehand.domain.jobs import Job

logger = logging.getLogger(__name__)


class Closing(Exception):
    """The process ends; ask again, and another one answers."""


class InProcess:
    """Runs jobs here, `slots` at a time, and goes on with them when nobody waits any more."""

    def __init__(self, jobs: Jobs, run_now: RunNow, process_jobs: ProcessJobs, slots: int) -> None:
        self._jobs = jobs
        self._run_now = run_now
        self._process_jobs = process_jobs
        self._slots = asyncio.Semaphore(slots)
        self._running: dict[UUID, asyncio.Task[Job]] = {}
        self._processing: set[asyncio.Task[Processed]] = set()
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

    async def process_due(self, limit: int, queues: Sequence[str]) -> Processed:
        """As ProcessJobs.due. Raise Closing when the process ends meanwhile."""
        return await self._process(self._process_jobs.due(limit, queues))

    async def process_one(self, job_id: UUID) -> Processed:
        """As ProcessJobs.one. Raise Closing when the process ends meanwhile."""
        return await self._process(self._process_jobs.one(job_id))

    async def _process(self, work: Coroutine[Any, Any, Processed]) -> Processed:
        """To its end whether or not somebody still listens, as a worker would."""
        if self._closed:
            work.close()
            raise Closing("this server is ending: ask again")
        task = asyncio.create_task(work)
        self._processing.add(task)
        task.add_done_callback(self._processing.discard)
        await asyncio.wait({task})
        if task.cancelled():
            raise Closing("this server is ending: the jobs were handed back")
        return task.result()

    async def close(self) -> None:
        """Hand back what still runs; whoever waits for it is answered. Later calls start nothing."""
        self._closed = True
        tasks = [*self._running.values(), *self._processing]
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
