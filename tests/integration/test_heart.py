"""Heartbeats: over a database file, with a thread and a connection of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from forgehand.application.clock import utc_now
from forgehand.application.jobs.heart import Heart, OpenUpkeep, Watch
from forgehand.application.ports.jobs import StoreUnavailable
from forgehand.application.ports.leases import Worker
from forgehand.application.ports.upkeep import SeenWorker, Swept, Upkeep
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.tables import workers
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from tests.stores import migrated

WATCH = Watch(lease=0.6)
WORKER = Worker(uuid4(), "here:1")


@dataclass
class Store:
    database: Database

    def opening(self, then: Callable[[Upkeep], Upkeep] = lambda upkeep: upkeep) -> OpenUpkeep:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Upkeep]:
            own = Database(f"sqlite:///{self.database.url.database}")
            try:
                yield then(SqlUpkeep(own))
            finally:
                await own.close()

        return opened

    async def seen(self) -> datetime:
        async with self.database.read() as connection:
            seen: datetime = (await connection.execute(select(workers.c.seen_at))).scalar_one()
            return seen

    async def seen_since(self, moment: datetime) -> None:
        async with asyncio.timeout(10):
            while await self.seen() <= moment:
                await asyncio.sleep(0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with migrated(f"sqlite:///{tmp_path / 'jobs.db'}") as database:
        store = Store(database)
        await SqlUpkeep(database).beat(WORKER, utc_now())
        yield store


def heart(store: Store, open_upkeep: OpenUpkeep | None, watch: Watch = WATCH) -> Heart:
    return Heart(WORKER, utc_now, watch, SqlUpkeep(store.database), open_upkeep)


async def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - that is what the heart watches for


@pytest.mark.parametrize("own_thread", [True, False])
async def test_a_worker_is_seen_again_and_again(store: Store, own_thread: bool) -> None:
    async with heart(store, store.opening() if own_thread else None).beating():
        for _ in range(3):
            await store.seen_since(utc_now())


@pytest.mark.parametrize("own_thread", [True, False])
async def test_no_beat_follows_the_end_and_no_thread_stays(store: Store, own_thread: bool) -> None:
    async with heart(store, store.opening() if own_thread else None).beating():
        await store.seen_since(utc_now())
    last = await store.seen()
    await asyncio.sleep(3 * WATCH.beat_every)
    assert await store.seen() == last
    assert "forgehand-heart" not in {thread.name for thread in threading.enumerate()}


async def test_a_loop_blocked_for_less_than_half_a_lease_is_spoken_for(store: Store) -> None:
    watch = Watch(lease=3)
    beating = heart(store, store.opening(), watch)
    async with beating.beating():
        await store.seen_since(utc_now())
        before = utc_now()
        await block_the_loop(watch.longest_stall - watch.tick_every - 0.1)
        assert await store.seen() > before
        assert not beating.was_silent()


async def test_a_blocked_loop_stops_the_beats_and_is_named_and_goes_on_after(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(lease=1.2)
    beating = heart(store, store.opening(), watch)
    blocked = 2 * watch.lease
    with caplog.at_level(logging.WARNING):
        async with beating.beating():
            await store.seen_since(utc_now())
            assert not beating.was_silent()
            since = utc_now()
            await block_the_loop(blocked)
            seen = await store.seen()
            assert seen < since + timedelta(seconds=blocked / 2)
            await store.seen_since(since + timedelta(seconds=blocked))
            assert beating.was_silent()
            assert not beating.was_silent(), "said once"
    [stalled] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "has not turned for" in stalled
    assert "time.sleep(seconds)" in stalled, "the line that blocks is named"
    assert any("turns again" in record.getMessage() for record in caplog.records)


@dataclass
class Failing:
    """An upkeep whose first beats fail."""

    inner: Upkeep
    left: int

    async def beat(self, worker: Worker, now: datetime) -> None:
        self.left -= 1
        if self.left >= 0:
            raise StoreUnavailable("the line is down")
        await self.inner.beat(worker, now)

    async def release(self, now: datetime) -> frozenset[str]:
        return await self.inner.release(now)

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        return await self.inner.sweep(now, lease_time)

    async def workers(self) -> Sequence[SeenWorker]:
        return await self.inner.workers()

    async def retire(self, worker: Worker) -> None:
        await self.inner.retire(worker)


async def test_beats_that_fail_are_tried_again_and_the_silence_is_told(store: Store) -> None:
    beating = heart(store, store.opening(lambda upkeep: Failing(upkeep, 5)))
    async with beating.beating():
        await store.seen_since(utc_now())
        async with asyncio.timeout(10):
            while not beating.was_silent():
                await asyncio.sleep(0.01)


def test_the_bounds_hold_for_every_lease() -> None:
    for lease in (1.0, 4.0, 30.0, 3600.0):
        watch = Watch(lease)
        # Blocked at worst right after a tick: the last beat, the lease, the sweep of another worker.
        rescued_after = watch.longest_stall + lease + watch.sweep_every
        assert rescued_after < 2 * lease
        assert watch.beat_every + watch.tick_every < watch.longest_stall
