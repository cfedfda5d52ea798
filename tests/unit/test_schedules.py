"""Schedules: what a rule decides, what people may define, and the task that fires them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgehand.application.clock import utc_now
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.jobs.scheduling import (
    Definition,
    InvalidSchedule,
    KeepSchedules,
    Scheduler,
    job_id,
)
from forgehand.application.jobs.submit import SubmitJob
from forgehand.application.ports.jobs import JobFilter, StoreUnavailable
from forgehand.domain.jobs import Job
from forgehand.domain.schedules import (
    LATE,
    MOST_CAUGHT_UP,
    MOST_COUNTED,
    CatchUp,
    Interval,
    InvalidTiming,
    Overlap,
    Schedule,
    Times,
)
from forgehand.infrastructure.cron import read_timing
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.queue.bell import DramatiqBell
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.schedules import SqlSchedules
from forgehand.infrastructure.sql.schema import prepare
from tests.clocks import START, HandClock
from tests.job_types import paint_type

SECOND = timedelta(seconds=1)
SCHEDULE = Schedule(
    name="tick",
    type="paint",
    request={"walls": 1},
    timing="every 1s",
    zone="UTC",
    overlap=Overlap.ALLOW,
    catch_up=CatchUp.ALL,
    submitted_by="ada",
    created_at=START,
    next_at=START + SECOND,
)
EVERY_SECOND = Interval(SECOND).times


@given(
    st.sampled_from(Overlap),
    st.sampled_from(CatchUp),
    st.booleans(),
    st.integers(1, 90),
    st.integers(0, 5000),
)
def test_every_due_time_is_fired_or_missed_and_the_next_lies_ahead(
    overlap: Overlap,
    catch_up: CatchUp,
    busy: bool,
    period: int,
    seconds: int,
) -> None:
    every = Interval(period * SECOND).times
    schedule = replace(SCHEDULE, overlap=overlap, catch_up=catch_up, next_at=next(every(START)))
    now = START + seconds * SECOND
    firing = schedule.firing(now, every, busy=busy)
    assert firing.next_at is not None
    assert firing.next_at > now
    assert len(firing.due) + firing.missed == (firing.next_at - next(every(START))) // (period * SECOND)
    assert list(firing.due) == sorted(set(firing.due))
    assert len(firing.due) <= MOST_CAUGHT_UP
    assert all(START < at <= now for at in firing.due)
    if overlap is Overlap.SKIP:
        assert len(firing.due) <= (0 if busy else 1)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_a_little_late_is_fired_whatever_the_policy(catch_up: CatchUp) -> None:
    schedule = replace(SCHEDULE, catch_up=catch_up)
    firing = schedule.firing(START + LATE, EVERY_SECOND, busy=False)
    assert (len(firing.due), firing.missed) == (10, 0)


@pytest.mark.parametrize(("catch_up", "fired"), [(CatchUp.SKIP, 0), (CatchUp.ONCE, 1), (CatchUp.ALL, 3)])
def test_after_an_outage_the_policy_says_how_often_it_is_fired(catch_up: CatchUp, fired: int) -> None:
    hourly = Interval(timedelta(hours=1)).times
    schedule = replace(SCHEDULE, catch_up=catch_up, next_at=START + timedelta(hours=1))
    firing = schedule.firing(START + timedelta(hours=3, minutes=30), hourly, busy=False)
    assert (len(firing.due), firing.missed) == (fired, 3 - fired)
    assert firing.due == tuple(START + timedelta(hours=hour) for hour in (1, 2, 3))[3 - fired :]
    assert firing.next_at == START + timedelta(hours=4)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_clock_that_jumps_a_century_ahead_costs_little_and_fires_little(catch_up: CatchUp) -> None:
    now = START + timedelta(days=36_525)
    firing = replace(SCHEDULE, catch_up=catch_up).firing(now, EVERY_SECOND, busy=False)
    assert len(firing.due) <= MOST_CAUGHT_UP
    assert len(firing.due) + firing.missed == MOST_COUNTED
    assert firing.next_at == now + SECOND


def test_a_timing_that_ends_has_no_next_time() -> None:
    firing = SCHEDULE.firing(START + 5 * SECOND, lambda _: iter(()), busy=False)
    assert (firing.due, firing.next_at) == ((START + SECOND,), None)
    ended = replace(SCHEDULE, next_at=None)
    assert ended.firing(START + 5 * SECOND, EVERY_SECOND, busy=False).due == ()


def test_the_same_work_at_the_same_time_has_the_same_job_everywhere() -> None:
    at = START + SECOND
    first = job_id(SCHEDULE, at)
    assert first == job_id(replace(SCHEDULE, fired=5, created_at=at, submitted_by="bob"), at)
    others = {
        job_id(SCHEDULE, at + SECOND),
        job_id(replace(SCHEDULE, name="tock"), at),
        job_id(replace(SCHEDULE, request={"walls": 2}), at),
    }
    assert len(others | {first}) == 4
    assert (first.version, first.int >> 80) == (7, int(at.timestamp() * 1000))


@dataclass
class Planning:
    """Everything about schedules, over SQLite in memory."""

    schedules: SqlSchedules
    jobs: SqlJobs
    bell: DramatiqBell
    clock: HandClock = field(default_factory=HandClock)
    reads: int = 0

    @property
    def submit_job(self) -> SubmitJob:
        return SubmitJob(JobTypes([paint_type()]), self.jobs, self.bell, self.clock)

    @property
    def keep(self) -> KeepSchedules:
        return KeepSchedules(self.schedules, self.submit_job, self.read, self.clock)

    @property
    def scheduler(self) -> Scheduler:
        return Scheduler(self.schedules, self.submit_job, self.read, self.clock)

    def read(self, timing: str, zone: str) -> Times:
        self.reads += 1
        return read_timing(timing, zone)

    async def define(self, **fields: Any) -> Schedule:
        defaults = {"name": "tick", "type_name": "paint", "parameters": {"walls": 2}, "timing": "every 1s"}
        return await self.keep.define(Definition(**{**defaults, **fields}), by="ada")

    async def made(self) -> list[Job]:
        page = await self.jobs.page(JobFilter(tag="schedule:tick"), limit=500)
        return sorted(page.items, key=lambda job: job.run_at)


@pytest.fixture
async def planning() -> AsyncIterator[Planning]:
    database, bell = Database("sqlite://"), embedded_bell()
    await prepare(database)
    try:
        yield Planning(SqlSchedules(database), SqlJobs(database, utc_now), bell)
    finally:
        bell.close()
        await database.close()


async def test_a_defined_schedule_knows_its_next_times(planning: Planning) -> None:
    schedule = await planning.define(timing="0 9 * * *", zone="Europe/Berlin", catch_up=CatchUp.SKIP)
    assert await planning.schedules.get("tick") == schedule
    assert (schedule.request, schedule.catch_up, schedule.overlap) == (
        {"walls": 2},
        CatchUp.SKIP,
        Overlap.SKIP,
    )
    assert planning.keep.upcoming(schedule) == tuple(
        datetime(2026, 1, day, 8, tzinfo=UTC) for day in (1, 2, 3)
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timing": "0 0 30 2 *"}, "timing: "),
        ({"timing": "*/0 * * * *"}, "timing: "),
        ({"timing": "1," * 5000}, "timing: the timing is longer than 100"),
        ({"timing": "0 0 * *"}, "timing: "),
        ({"zone": "Mars/Olympus"}, "zone: 'Mars/Olympus' is no time zone"),
        ({"type_name": "bake"}, "type: there is no job type 'bake'; there are: paint"),
        ({"parameters": {"walls": "many"}}, "request.walls: "),
        ({"parameters": {"roof": 1}}, "request.roof: "),
        ({"name": "Not A Name"}, "name: "),
        ({"name": ""}, "name: "),
        ({"name": "x" * 51}, "name: "),
        ({"name": "../up"}, "name: "),
    ],
)
async def test_a_definition_at_fault_is_refused_in_one_line_and_nothing_is_stored(
    planning: Planning, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        await planning.define(**fields)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert await planning.schedules.all() == []


async def test_all_that_is_wrong_is_said_at_once(planning: Planning) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        await planning.define(name="A", timing="nonsense", parameters={"walls": "many", "roof": 1})
    assert [it.field for it in caught.value.faults] == ["name", "timing", "request.walls", "request.roof"]


async def test_a_wrong_change_leaves_the_schedule_as_it_was(planning: Planning) -> None:
    schedule = await planning.define()
    with pytest.raises(InvalidSchedule):
        await planning.define(timing="never")
    assert await planning.schedules.get("tick") == schedule


async def test_resumed_a_schedule_goes_on_from_now(planning: Planning) -> None:
    await planning.define()
    await planning.schedules.pause("tick", planning.clock())
    assert planning.keep.upcoming(await planning.schedules.get("tick")) == ()
    planning.clock.pass_(days=3)
    assert (await planning.keep.resume("tick")).next_at == planning.clock() + SECOND
    assert await planning.scheduler.fire() == 0


async def test_a_fired_job_is_as_its_type_says_and_rings_the_bell(planning: Planning) -> None:
    heard = asyncio.Event()
    await planning.define()
    due = planning.clock.pass_(seconds=1)
    async with planning.bell.listen(["paint"], lambda _: heard.set()):
        assert await planning.scheduler.fire() == 1
        await asyncio.wait_for(heard.wait(), 10)
    [job] = await planning.made()
    assert (job.type, job.request, job.submitted_by) == ("paint", {"walls": 2}, "ada")
    assert (job.run_at, job.max_attempts, job.tags) == (due, 3, ("schedule:tick",))


async def test_a_request_that_no_longer_fits_is_missed_and_the_others_are_fired(planning: Planning) -> None:
    await planning.define()
    stale = replace(await planning.schedules.get("tick"), name="stale", request={"roof": 1})
    await planning.schedules.put(stale)
    now = planning.clock.pass_(seconds=1)
    await planning.scheduler.fire()
    assert len(await planning.made()) == 1
    found = await planning.schedules.get("stale")
    assert (found.fired, found.missed, found.missed_at, found.next_at) == (0, 1, now, now + SECOND)


async def test_a_zone_that_this_machine_lacks_is_left_to_others(planning: Planning) -> None:
    await planning.define()
    foreign = replace(await planning.schedules.get("tick"), name="foreign", zone="Mars/Olympus")
    await planning.schedules.put(foreign)
    planning.clock.pass_(seconds=1)
    assert await planning.scheduler.fire() == 1
    assert await planning.schedules.get("foreign") == foreign
    assert planning.keep.upcoming(foreign) == (foreign.next_at,)


class Flaky:
    """DueSchedules over another one, which fails as often as it is told to and counts what it is asked."""

    def __init__(self, within: SqlSchedules, failures: int = 0) -> None:
        self._within = within
        self.failures = failures
        self.asked = 0

    async def next_at(self, types: Any) -> datetime | None:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database is away")
        return await self._within.next_at(types)

    async def fire(self, types: Any, now: datetime, plan: Any) -> Any:
        return await self._within.fire(types, now, plan)


def running(planning: Planning, due: Flaky) -> Scheduler:
    submit_job = SubmitJob(JobTypes([paint_type()]), planning.jobs, planning.bell, utc_now)
    return Scheduler(due, submit_job, read_timing, utc_now)


async def some_made(planning: Planning, number: int) -> list[Job]:
    async with asyncio.timeout(15):
        while len(made := await planning.made()) < number:
            await asyncio.sleep(0.02)
    return made


async def test_the_scheduler_fires_each_second_soon_after_it_came(planning: Planning) -> None:
    planning.clock.now = utc_now()
    await planning.define(overlap=Overlap.ALLOW)
    async with running(planning, Flaky(planning.schedules)).running():
        made = await some_made(planning, 2)
    assert made[1].run_at - made[0].run_at == SECOND
    assert all(timedelta(0) <= job.created_at - job.run_at < SECOND for job in made)


async def test_the_scheduler_outlives_a_store_that_is_away(planning: Planning) -> None:
    planning.clock.now = utc_now()
    await planning.define(overlap=Overlap.ALLOW)
    due = Flaky(planning.schedules, failures=2)
    async with running(planning, due).running():
        await some_made(planning, 1)
    assert due.failures == 0


async def test_without_schedules_the_store_is_asked_once_in_five_seconds(
    planning: Planning, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    done = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            done.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("forgehand.application.jobs.scheduling.asyncio.sleep", sleep)
    due = Flaky(planning.schedules)
    async with running(planning, due).running():
        await asyncio.wait_for(done.wait(), 10)
    assert waits == [0.0, 5.0, 5.0, 5.0]
    assert due.asked == 3


async def test_a_scheduler_that_ends_leaves_no_task(planning: Planning) -> None:
    before = asyncio.all_tasks()
    async with running(planning, Flaky(planning.schedules)).running():
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before


def test_a_timing_is_an_error_of_the_domain_not_of_a_library() -> None:
    with pytest.raises(InvalidTiming) as caught:
        read_timing("61 * * * *", "UTC")
    assert "minute" in str(caught.value)
