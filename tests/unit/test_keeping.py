"""Retention: what goes, what stays, and how, over SQLite in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from forgehand.application.jobs.job_type import JobType, JobTypes, Retention
from forgehand.application.jobs.keeping import Keeper
from forgehand.application.ports.jobs import JobControl, JobFilter, JobNotFound, StoreUnavailable
from forgehand.domain.jobs import JobProblem, JobState
from tests.contracts.job_store import Store
from tests.job_types import paint_type
from tests.stores import job_store, migrated


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with migrated("sqlite://") as database:
        yield job_store(database)


def types(**retention: Any) -> JobTypes:
    paint: JobType = paint_type(retention=Retention(**retention))
    return JobTypes([paint, replace(paint, name="varnish")])


async def ended(store: Store, *states: JobState, type: str = "paint") -> list[UUID]:  # noqa: A002
    """Jobs that ended now, one second after another."""
    worker, ids = await store.worker(), []
    for state in states:
        [id_] = await store.submit(store.new(type))
        ids.append(id_)
        if state is JobState.CANCELLED:
            await store.control.cancel(JobFilter(ids=[id_]), store.clock())
        else:
            [claimed] = await store.claim(worker, 1, type)
            good = state is JobState.COMPLETED
            await store.settle(
                worker,
                claimed.complete({}, store.clock())
                if good
                else claimed.fail(JobProblem("Broken", "it broke"), store.clock()),
            )
        store.clock.pass_(seconds=1)
    return ids


async def left(store: Store, ids: list[UUID]) -> list[UUID]:
    found = []
    for id_ in ids:
        try:
            found.append((await store.jobs.get(id_)).id)
        except JobNotFound:
            continue
    return found


async def test_completed_jobs_stay_a_day_and_failed_and_cancelled_ones_two(store: Store) -> None:
    keeper = Keeper(types(), store.control, store.clock)
    ids = await ended(store, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
    store.clock.pass_(hours=23, minutes=59)
    assert (await keeper.tidy(), await left(store, ids)) == (0, ids)
    store.clock.pass_(minutes=2)
    assert (await keeper.tidy(), await left(store, ids)) == (1, ids[1:])
    store.clock.pass_(hours=24)
    assert (await keeper.tidy(), await left(store, ids)) == (2, [])


async def test_the_last_ones_stay_however_old_they_are(store: Store) -> None:
    ids = await ended(store, *[JobState.COMPLETED] * 5)
    others = await ended(store, *[JobState.COMPLETED] * 2, type="varnish")
    store.clock.pass_(days=400)
    assert await Keeper(types(last=2), store.control, store.clock).tidy() == 3
    assert await left(store, ids + others) == ids[3:] + others


async def test_what_has_not_ended_stays_for_ever(store: Store) -> None:
    worker = await store.worker()
    ids = await store.submit(store.new(), store.new())
    await store.claim(worker)
    store.clock.pass_(days=4000)
    assert await Keeper(types(), store.control, store.clock).tidy() == 0
    assert await left(store, ids) == ids


class Told:
    """A control that tells the batches it is asked for; the first calls may fail."""

    def __init__(self, inner: JobControl, broken: int = 0) -> None:
        self.inner = inner
        self.broken = broken
        self.batches: list[tuple[str, int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def purge(self, wanted: JobFilter, before: datetime, *, keep: int = 0, limit: int = 1000) -> int:
        if self.broken:
            self.broken -= 1
            raise StoreUnavailable("the line is down")
        count = await self.inner.purge(wanted, before, keep=keep, limit=limit)
        [type_name] = wanted.types
        self.batches.append((type_name, limit, count))
        return count


async def test_a_large_heap_goes_in_batches_and_does_not_keep_another_type_waiting(store: Store) -> None:
    await ended(store, *[JobState.COMPLETED] * 7)
    await ended(store, *[JobState.COMPLETED] * 2, type="varnish")
    store.clock.pass_(days=9)
    told = Told(store.control)
    assert await Keeper(types(), told, store.clock, batch=3).tidy() == 9
    assert all(count <= limit == 3 for _, limit, count in told.batches)
    counts = [(name, count) for name, _, count in told.batches if count]
    assert counts == [("paint", 3), ("varnish", 2), ("paint", 3), ("paint", 1)]


async def test_several_keepers_at_once_purge_each_job_once(store: Store) -> None:
    await ended(store, *[JobState.COMPLETED] * 20)
    store.clock.pass_(days=9)
    keepers = [Keeper(types(), store.control, store.clock, batch=4) for _ in range(3)]
    assert sum(await asyncio.gather(*(keeper.tidy() for keeper in keepers))) == 20


async def test_it_goes_on_after_an_error_of_the_store(store: Store) -> None:
    ids = await ended(store, JobState.COMPLETED)
    store.clock.pass_(days=9)
    told = Told(store.control, broken=2)
    async with Keeper(types(), told, store.clock, every=0.01).running(), asyncio.timeout(10):
        while await left(store, ids):
            await asyncio.sleep(0.01)
    assert told.broken == 0


async def test_a_job_replayed_while_it_is_purged_is_kept_or_gone_but_never_half(store: Store) -> None:
    [id_] = await ended(store, JobState.FAILED)
    store.clock.pass_(days=9)
    keeper = Keeper(types(), store.control, store.clock)
    _, replayed = await asyncio.gather(
        keeper.tidy(), store.control.replay(JobFilter(ids=[id_]), store.clock())
    )
    kept = await left(store, [id_])
    assert kept == [job.id for job in replayed]
    assert bool(await store.jobs.events(id_)) == bool(kept)


def test_a_day_and_two_are_the_defaults() -> None:
    assert Retention() == Retention(timedelta(hours=24), timedelta(hours=48), 0)
