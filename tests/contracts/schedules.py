"""What every store of schedules promises: to those who change them, and to those who fire them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from forgehand.application.jobs.scheduling import job_id
from forgehand.application.ports.jobs import JobFilter, NewJob
from forgehand.application.ports.schedules import (
    DueSchedules,
    Fired,
    Plan,
    Planned,
    ScheduleNotFound,
    Schedules,
)
from forgehand.domain.jobs import Job
from forgehand.domain.schedules import CatchUp, Interval, Overlap, Schedule
from tests.contracts.job_store import Store

SECOND = timedelta(seconds=1)
TYPES = ("paint",)


@dataclass
class ScheduleStore:
    """An adapter under test, beside the job store that it shares a database with."""

    schedules: Schedules
    due: DueSchedules
    store: Store

    @property
    def now(self) -> datetime:
        return self.store.clock()

    def every_second(self, name: str = "tick", **fields: Any) -> Schedule:
        defaults: dict[str, Any] = {
            "name": name,
            "type": "paint",
            "request": {"colour": "red"},
            "timing": "every 1s",
            "zone": "UTC",
            "overlap": Overlap.ALLOW,
            "catch_up": CatchUp.ALL,
            "submitted_by": "ada",
            "created_at": self.now,
            "next_at": self.now + SECOND,
        }
        return Schedule(**{**defaults, **fields})

    def plan(self, now: datetime) -> Plan:
        def plan(schedule: Schedule, busy: bool) -> Planned:
            firing = schedule.firing(now, Interval(SECOND).times, busy=busy)
            return Planned(firing, tuple(self.job(schedule, at) for at in firing.due))

        return plan

    def job(self, schedule: Schedule, due: datetime) -> NewJob:
        return NewJob(
            id=job_id(schedule, due),
            type=schedule.type,
            request=schedule.request,
            schema_version=1,
            submitted_by=schedule.submitted_by,
            run_at=due,
            max_attempts=3,
            tags=(schedule.tag,),
        )

    async def fire(self, now: datetime | None = None) -> Fired:
        now = now or self.now
        return await self.due.fire(TYPES, now, self.plan(now))

    async def jobs(self, schedule: str = "tick") -> list[Job]:
        page = await self.store.jobs.page(JobFilter(tag=f"schedule:{schedule}"), limit=500)
        return sorted(page.items, key=lambda job: job.run_at)

    async def end(self, job: Job) -> None:
        """Run it to its end, as a worker does."""
        worker = await self.store.worker()
        [claimed] = await self.store.claim(worker, only=job.id)
        assert not await self.store.settle(worker, claimed.complete({}, self.now))


def seconds(start: datetime, number: int) -> Iterator[datetime]:
    return (start + count * SECOND for count in range(1, number + 1))


class SchedulesContract:
    """Subclass with a fixture `kept`: a ScheduleStore."""

    async def test_a_schedule_can_be_read_back(self, kept: ScheduleStore) -> None:
        schedule = kept.every_second(zone="Europe/Berlin", overlap=Overlap.SKIP, catch_up=CatchUp.ONCE)
        assert await kept.schedules.put(schedule) == schedule
        assert await kept.schedules.get("tick") == schedule
        assert await kept.schedules.all() == [schedule]

    async def test_schedules_are_listed_by_name(self, kept: ScheduleStore) -> None:
        for name in ("b", "c", "a"):
            await kept.schedules.put(kept.every_second(name))
        assert [it.name for it in await kept.schedules.all()] == ["a", "b", "c"]

    @pytest.mark.parametrize("name", ["nobody", "", "no\x00body", "\ud800", "x" * 9000])
    async def test_a_schedule_that_does_not_exist_is_not_found(self, kept: ScheduleStore, name: str) -> None:
        with pytest.raises(ScheduleNotFound):
            await kept.schedules.get(name)
        with pytest.raises(ScheduleNotFound):
            await kept.schedules.remove(name)
        with pytest.raises(ScheduleNotFound):
            await kept.schedules.pause(name, kept.now)
        with pytest.raises(ScheduleNotFound):
            await kept.schedules.resume(name, kept.now)

    async def test_defining_it_again_keeps_its_history_and_its_next_time(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        await kept.fire(kept.store.clock.pass_(seconds=2))
        before = await kept.schedules.get("tick")
        changed = kept.every_second(request={"colour": "blue"}, submitted_by="bob", next_at=kept.now)
        after = await kept.schedules.put(changed)
        assert after == replace(before, request={"colour": "blue"}, submitted_by="bob")
        assert (after.fired, after.next_at) == (2, kept.now + SECOND)

    async def test_another_timing_or_zone_begins_anew(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        later = kept.now + timedelta(hours=1)
        for change in ({"timing": "@hourly"}, {"timing": "@hourly", "zone": "Asia/Tokyo"}):
            later += timedelta(hours=1)
            assert (await kept.schedules.put(kept.every_second(next_at=later, **change))).next_at == later

    async def test_a_removed_schedule_fires_no_more_and_its_jobs_stay(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        await kept.fire(kept.store.clock.pass_(seconds=1))
        await kept.schedules.remove("tick")
        assert await kept.fire(kept.store.clock.pass_(seconds=5)) == Fired()
        assert len(await kept.jobs()) == 1

    async def test_the_next_time_is_that_of_the_first_that_is_due(self, kept: ScheduleStore) -> None:
        assert await kept.due.next_at(TYPES) is None
        await kept.schedules.put(kept.every_second("late", next_at=kept.now + 9 * SECOND))
        await kept.schedules.put(kept.every_second("soon", next_at=kept.now + 3 * SECOND))
        await kept.schedules.put(kept.every_second("never", next_at=None))
        await kept.schedules.put(kept.every_second("foreign", type="bake", next_at=kept.now))
        await kept.schedules.put(kept.every_second("paused", next_at=kept.now))
        await kept.schedules.pause("paused", kept.now)
        assert await kept.due.next_at(TYPES) == kept.now + 3 * SECOND

    async def test_what_is_due_becomes_a_job_that_names_its_schedule(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        assert await kept.fire() == Fired()
        due = kept.store.clock.pass_(seconds=1)
        assert await kept.fire() == Fired(jobs=1, queues=frozenset({"paint"}))
        [job] = await kept.jobs()
        assert (job.run_at, job.request, job.tags) == (due, {"colour": "red"}, ("schedule:tick",))
        schedule = await kept.schedules.get("tick")
        assert (schedule.fired, schedule.missed, schedule.last_at) == (1, 0, due)
        assert (schedule.last_job_id, schedule.next_at) == (job.id, due + SECOND)

    async def test_firing_again_at_the_same_time_does_nothing(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        kept.store.clock.pass_(seconds=1)
        await kept.fire()
        assert await kept.fire() == Fired()
        assert len(await kept.jobs()) == 1

    async def test_a_clock_that_is_set_back_fires_nothing_twice(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        start = kept.now
        await kept.fire(start + 5 * SECOND)
        for moment in (1, 3, 5):
            assert await kept.fire(start + moment * SECOND) == Fired()
        await kept.fire(start + 6 * SECOND)
        assert [job.run_at for job in await kept.jobs()] == list(seconds(start, 6))

    async def test_a_due_time_that_comes_again_finds_its_job(self, kept: ScheduleStore) -> None:
        schedule = await kept.schedules.put(kept.every_second())
        await kept.fire(kept.now + SECOND)
        await kept.schedules.remove("tick")
        await kept.schedules.put(schedule)
        assert (await kept.fire(kept.now + SECOND)).jobs == 0
        assert len(await kept.jobs()) == 1
        assert (await kept.schedules.get("tick")).fired == 0

    async def test_each_due_time_is_fired_once_however_many_fire_at_once(self, kept: ScheduleStore) -> None:
        names = [f"tick{number}" for number in range(5)]
        for name in names:
            await kept.schedules.put(kept.every_second(name))
        start = kept.now
        for moment in seconds(start, 4):
            await asyncio.gather(*(kept.fire(moment) for _ in range(4)))
        while (await kept.fire(start + 4 * SECOND)).jobs:
            pass
        for name in names:
            assert [job.run_at for job in await kept.jobs(name)] == list(seconds(start, 4))
            assert (await kept.schedules.get(name)).fired == 4

    async def test_a_firing_that_breaks_off_leaves_nothing_behind(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second("a"))
        await kept.schedules.put(kept.every_second("b"))
        before = await kept.schedules.all()
        kept.store.clock.pass_(seconds=1)
        good = kept.plan(kept.now)

        def broken(schedule: Schedule, busy: bool) -> Planned | None:
            if schedule.name == "b":
                raise RuntimeError("the power is gone")
            return good(schedule, busy)

        with pytest.raises(RuntimeError, match="power"):
            await kept.due.fire(TYPES, kept.now, broken)
        assert await kept.schedules.all() == before
        assert await kept.jobs("a") == []
        assert (await kept.fire()).jobs == 2

    async def test_a_schedule_without_a_plan_is_left_as_it_is(self, kept: ScheduleStore) -> None:
        before = await kept.schedules.put(kept.every_second())
        kept.store.clock.pass_(seconds=1)
        assert await kept.due.fire(TYPES, kept.now, lambda *_: None) == Fired()
        assert await kept.schedules.get("tick") == before

    async def test_schedules_of_other_types_are_left_to_others(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second("foreign", type="bake"))
        kept.store.clock.pass_(seconds=1)
        assert await kept.fire() == Fired()

    async def test_with_overlap_skip_a_time_is_missed_while_the_last_job_has_not_ended(
        self, kept: ScheduleStore
    ) -> None:
        await kept.schedules.put(kept.every_second(overlap=Overlap.SKIP))
        await kept.fire(kept.store.clock.pass_(seconds=1))
        [first] = await kept.jobs()
        assert await kept.fire(kept.store.clock.pass_(seconds=1)) == Fired(missed=1)
        schedule = await kept.schedules.get("tick")
        assert (schedule.fired, schedule.missed, schedule.missed_at) == (1, 1, kept.now)
        await kept.end(first)
        assert (await kept.fire(kept.store.clock.pass_(seconds=1))).jobs == 1
        schedule = await kept.schedules.get("tick")
        assert (schedule.fired, schedule.missed, schedule.last_at) == (2, 1, kept.now)

    async def test_with_overlap_allow_it_fires_beside_the_last_job(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        for _ in range(3):
            await kept.fire(kept.store.clock.pass_(seconds=1))
        assert len(await kept.jobs()) == 3

    async def test_a_paused_schedule_rests_until_it_is_resumed(self, kept: ScheduleStore) -> None:
        await kept.schedules.put(kept.every_second())
        paused = await kept.schedules.pause("tick", kept.now)
        assert paused.paused_at == kept.now
        kept.store.clock.pass_(seconds=5)
        assert await kept.schedules.pause("tick", kept.now) == paused
        assert await kept.fire() == Fired()
        resumed = await kept.schedules.resume("tick", kept.now + SECOND)
        assert (resumed.paused_at, resumed.next_at) == (None, kept.now + SECOND)
        assert (await kept.schedules.resume("tick", None)) == resumed
        await kept.fire(kept.store.clock.pass_(seconds=1))
        assert [job.run_at for job in await kept.jobs()] == [kept.now]
        assert (await kept.schedules.get("tick")).missed == 0

    async def test_after_an_outage_every_time_is_fired_or_counted_as_missed(
        self, kept: ScheduleStore
    ) -> None:
        expected = {CatchUp.SKIP: (11, 189), CatchUp.ONCE: (1, 199), CatchUp.ALL: (100, 100)}
        for policy in CatchUp:
            await kept.schedules.put(kept.every_second(policy.value, catch_up=policy))
        kept.store.clock.pass_(seconds=200)
        fired = await kept.fire()
        assert (fired.jobs, fired.missed) == (112, 488)
        for policy, counts in expected.items():
            schedule = await kept.schedules.get(policy.value)
            assert (schedule.fired, schedule.missed) == counts
            assert schedule.next_at == kept.now + SECOND
            assert schedule.last_at == kept.now
            assert len(await kept.jobs(policy.value)) == schedule.fired
