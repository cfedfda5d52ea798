"""After an outage, workers that never stopped keep their jobs, and the dead are rescued all the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.heart import Watch
from forgehand.application.jobs.patience import Patience
from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.application.ports.leases import Worker
from forgehand.application.ports.upkeep import Swept, Upkeep
from forgehand.domain.jobs import JobState
from tests.job_types import paint_type
from tests.unit.test_kernel import Kernel, kernel_of

LEASE = 1.0


@dataclass
class Cut:
    """Upkeep over a line that is cut for heartbeats, for sweeps, or for both."""

    inner: Upkeep
    beats: bool = False
    sweeps: bool = False
    swept: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def beat(self, worker: Worker, now: datetime) -> None:
        if self.beats:
            raise StoreUnavailable("the line is down")
        await self.inner.beat(worker, now)

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        if self.sweeps:
            raise StoreUnavailable("the line is down")
        swept = await self.inner.sweep(now, lease_time)
        self.swept += 1
        return swept


async def at_work(kernel: Kernel) -> tuple[asyncio.Event, list[int]]:
    done, ran = asyncio.Event(), list[int]()

    async def deed(job: JobContext, painted: int) -> int:
        ran.append(job.attempt)
        await done.wait()
        return painted

    kernel.brush.deed.append(deed)
    return done, ran


async def test_a_worker_that_lives_keeps_its_job_through_an_outage_longer_than_its_lease() -> None:
    async with kernel_of(paint_type()) as kernel:
        done, ran = await at_work(kernel)
        kernel.upkeep = line = Cut(kernel.upkeep)
        async with kernel.pumping(watch=Watch(LEASE)):
            job_id = await kernel.submit()
            async with asyncio.timeout(5):
                while not ran:
                    await asyncio.sleep(0.01)
            line.beats = line.sweeps = True
            await asyncio.sleep(1.5 * LEASE)
            line.sweeps, line.swept = False, 0
            async with asyncio.timeout(5):
                while not line.swept:  # the sweeper is back before the heartbeat is
                    await asyncio.sleep(0.01)
            assert (await kernel.jobs.get(job_id)).state is JobState.RUNNING
            line.beats = False
            await asyncio.sleep(1.5 * LEASE)
            done.set()
            await kernel.ended(job_id)
        assert ran == [1]


def test_without_an_outage_a_worker_is_dead_after_one_lease() -> None:
    patience = Patience(lease=10, answered=100)
    assert patience.unseen(102.5) == timedelta(seconds=10)
    assert patience.unseen(105) == timedelta(seconds=10)


def test_after_an_outage_all_have_one_lease_to_be_seen_and_the_silence_does_not_count() -> None:
    patience = Patience(lease=10, answered=100)
    assert patience.unseen(140) == timedelta(seconds=50)
    patience.answered = 140
    assert patience.unseen(142.5) == timedelta(seconds=50)
    patience.answered = 149
    assert patience.unseen(150) == timedelta(seconds=10)


def test_a_line_that_is_cut_again_and_again_does_not_put_off_the_rescue() -> None:
    patience = Patience(lease=10, answered=100)
    for now in range(104, 200, 4):
        assert patience.unseen(now) == timedelta(seconds=10)
        patience.answered = now
