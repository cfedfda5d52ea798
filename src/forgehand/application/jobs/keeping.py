"""Keeping house: ended jobs go when their policy lets them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from forgehand.application.clock import Clock
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.ports.jobs import JobControl, JobFilter
from forgehand.domain.jobs import JobState

logger = logging.getLogger(__name__)

_BETWEEN_BATCHES = 0.05


@dataclass(frozen=True, slots=True)
class _Chore:
    wanted: JobFilter
    age: timedelta
    keep: int


@dataclass(frozen=True, slots=True)
class Keeper:
    """Purges ended jobs of the known types in small batches, in any number of processes at once.

    Types take turns, so that a large heap of one does not keep the others waiting, and there is a
    pause after each batch, so that other work on the store goes on.
    """

    job_types: JobTypes
    control: JobControl
    clock: Clock
    every: float = 300.0
    batch: int = 500

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep house for as long as the context is open."""
        task = asyncio.create_task(self.run(), name="keeper")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run(self) -> None:
        """Tidy up now and every few minutes until cancelled."""
        while True:
            await self.tidy_if_possible()
            await asyncio.sleep(self.every)

    async def tidy_if_possible(self) -> None:
        """As `tidy`. An error of the store is logged: there is a next time."""
        try:
            gone = await self.tidy()
        except Exception as error:  # noqa: BLE001 - whatever the store does
            logger.warning("old jobs could not be purged: %s", str(error) or type(error).__name__)
            return
        if gone:
            logger.info("purged %d ended jobs", gone)

    async def tidy(self) -> int:
        """Purge all that may go now; how many went."""
        gone, chores = 0, list(self._chores())
        while chores:
            unfinished = []
            for chore in chores:
                count = await self.control.purge(
                    chore.wanted, self.clock() - chore.age, keep=chore.keep, limit=self.batch
                )
                gone += count
                if count >= self.batch:
                    unfinished.append(chore)
                    await asyncio.sleep(_BETWEEN_BATCHES)
            chores = unfinished
        return gone

    def _chores(self) -> Iterator[_Chore]:
        for job_type in self.job_types:
            kept = job_type.policy.retention
            for states, age in (
                ((JobState.COMPLETED,), kept.completed),
                ((JobState.FAILED, JobState.CANCELLED), kept.failed),
            ):
                yield _Chore(JobFilter(types=(job_type.name,), states=states), age, kept.last)
