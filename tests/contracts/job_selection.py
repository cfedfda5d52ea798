"""What every job store promises about choosing jobs: by condition, counted, and from the stream's tail."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from forgehand.application.ports.jobs import JobFilter
from forgehand.domain.jobs import Claimed, Condition, EventKind, JobProblem, JobState
from tests.contracts.job_store import Store

BROKEN = JobProblem("Broken", "it broke")


async def one_of_each(store: Store) -> dict[str, UUID]:
    """A job in each condition, by its name."""
    worker = await store.worker()
    found: dict[str, UUID] = {}
    claims: dict[UUID, Claimed] = {}

    async def claimed(**fields: Any) -> UUID:
        [id_] = await store.submit(store.new(**fields))
        [claim] = await store.claim(worker, 1, only=id_)
        claims[id_] = claim
        return id_

    found["completed"] = await claimed()
    await store.settle(worker, claims[found["completed"]].complete({}, store.clock()))
    found["dead"] = await claimed(max_attempts=1)
    await store.settle(worker, claims[found["dead"]].fail(BROKEN, store.clock()))
    found["failed"] = await claimed()
    await store.settle(worker, claims[found["failed"]].fail(BROKEN, store.clock()))
    found["retrying"] = await claimed()
    again = claims[found["retrying"]].try_again(BROKEN, store.clock(), timedelta(hours=1))
    await store.settle(worker, again)
    found["running"] = await claimed()
    found["cancelling"] = await claimed()
    await store.control.cancel(JobFilter(ids=[found["cancelling"]]), store.clock())
    [found["scheduled"]] = await store.submit(store.new(run_at=store.clock() + timedelta(hours=1)))
    [found["waiting"]] = await store.submit(store.new(after=(found["scheduled"],)))
    [found["pending"]] = await store.submit(store.new())
    [found["cancelled"]] = await store.submit(store.new())
    await store.control.cancel(JobFilter(ids=[found["cancelled"]]), store.clock())
    return found


class JobSelectionContract:
    """Subclass with a fixture `store`."""

    async def test_jobs_are_chosen_by_the_condition_that_they_show(self, store: Store) -> None:
        found, now = await one_of_each(store), store.clock()
        assert {name: (await store.jobs.get(id_)).condition(now) for name, id_ in found.items()} == {
            name: name for name in found
        }
        for condition in Condition:
            wanted = JobFilter(conditions=[condition], now=now)
            assert [job.id for job in (await store.jobs.page(wanted)).items] == [found[condition.value]]
            assert await store.control.count(wanted) == 1

    async def test_states_and_conditions_add_up_and_other_words_restrict(self, store: Store) -> None:
        found, now = await one_of_each(store), store.clock()
        wanted = JobFilter(
            states=[JobState.COMPLETED], conditions=[Condition.DEAD, Condition.WAITING], now=now
        )
        chosen = {job.id for job in (await store.jobs.page(wanted)).items}
        assert chosen == {found["completed"], found["dead"], found["waiting"]}
        assert await store.control.count(wanted) == 3
        assert await store.control.count(JobFilter()) == len(found)
        assert await store.control.count(JobFilter(types=["varnish"])) == 0
        assert await store.control.count(JobFilter(states=[JobState.PENDING], submitted_by="ada")) == 4

    async def test_only_the_dead_are_replayed_where_they_alone_are_wanted(self, store: Store) -> None:
        found = await one_of_each(store)
        dead = JobFilter(conditions=[Condition.DEAD], now=store.clock())
        assert [job.id for job in await store.control.replay(dead, store.clock())] == [found["dead"]]
        assert (await store.jobs.get(found["failed"])).state is JobState.FAILED

    async def test_from_the_tail_only_what_is_to_come_is_told(self, store: Store) -> None:
        empty = await store.jobs.tail()
        ids = await store.submit(store.new())
        first = await store.jobs.stream(after=empty)
        assert [(it.event.job_id, it.event.kind) for it in first] == [(ids[0], EventKind.SUBMITTED)]
        tail = await store.jobs.tail()
        assert tail == first[-1].position
        assert await store.jobs.stream(after=tail) == []
        later = await store.submit(store.new())
        assert [it.event.job_id for it in await store.jobs.stream(after=tail)] == later

    async def test_the_lines_of_a_log_are_counted_over_all_attempts(self, store: Store) -> None:
        await store.submit(store.new())
        worker = await store.worker()
        for number in (0, 2):
            [claim] = await store.claim(worker)
            assert await store.leases.logged(claim.lease) == number
            for _ in range(2):
                await store.leases.report(claim.lease, EventKind.LOG, {"message": "x"}, store.clock())
            await store.leases.report(claim.lease, EventKind.PROGRESS, {"percent": 1}, store.clock())
            await store.settle(worker, claim.try_again(BROKEN, store.clock(), timedelta(0)))

    async def test_purges_at_once_share_the_work_and_spare_what_is_replayed(self, store: Store) -> None:
        worker, ids = await store.worker(), await store.submit(*(store.new() for _ in range(30)))
        claims = await store.claim(worker, 30)
        await store.settle(worker, *(claim.fail(BROKEN, store.clock()) for claim in claims))
        before = store.clock.pass_(days=3)

        async def purge() -> int:
            gone = 0
            while count := await store.control.purge(JobFilter(), before, limit=4):
                gone += count
            return gone

        replaying = asyncio.ensure_future(store.control.replay(JobFilter(ids=ids[-5:]), before))
        gone = await asyncio.gather(purge(), purge(), purge())
        replayed = await replaying
        left = {job.id for job in (await store.jobs.page(JobFilter(), limit=50)).items}
        assert left == {job.id for job in replayed}
        assert sum(gone) == 30 - len(left)
