"""Schedules: defined by people, fired by every worker process, each due time once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from forgehand.application.clock import Clock
from forgehand.application.jobs.job_type import UnknownJobType
from forgehand.application.jobs.submit import Fault, InvalidRequest, Order, SubmitJob, Terms
from forgehand.application.ports.jobs import NewJob
from forgehand.application.ports.schedules import DueSchedules, Planned, Schedules
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import JsonObject
from forgehand.domain.schedules import (
    CatchUp,
    Firing,
    InvalidTiming,
    Overlap,
    ReadTiming,
    Schedule,
    UnknownZone,
    usable_name,
)

logger = logging.getLogger(__name__)

_LOOK_EVERY = 5.0  # a new schedule is seen within this
_AFTER_OTHERS = 0.5  # somebody else has in hand what is due
_SHORTEST = 0.002


class InvalidSchedule(DomainError):
    """The schedule could not work. `faults` names all that is wrong, at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        said = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        super().__init__(f"not a valid schedule: {said}")
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Definition:
    """A schedule as a person writes it."""

    name: str
    type_name: str
    parameters: Mapping[str, Any]
    timing: str
    zone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONCE


@dataclass(frozen=True, slots=True)
class KeepSchedules:
    """Checks what people define, and knows when the next times are."""

    schedules: Schedules
    submit_job: SubmitJob
    read_timing: ReadTiming
    clock: Clock

    async def define(self, definition: Definition, *, by: str) -> Schedule:
        """Store it, or change the one of that name. Raise InvalidSchedule, and nothing is stored."""
        now = self.clock()
        faults: list[Fault] = []
        if not usable_name(definition.name):
            faults.append(
                Fault("name", "must be 1 to 50 lower-case letters, digits, dots, hyphens or underscores")
            )
        next_at = self._first(definition, now, faults)
        request = self._request(definition, by, now, faults)
        if faults:
            raise InvalidSchedule(tuple(faults))
        return await self.schedules.put(
            Schedule(
                name=definition.name,
                type=definition.type_name,
                request=request,
                timing=definition.timing,
                zone=definition.zone,
                overlap=definition.overlap,
                catch_up=definition.catch_up,
                submitted_by=by,
                created_at=now,
                next_at=next_at,
            )
        )

    async def resume(self, name: str) -> Schedule:
        """Fire it again, from now on. Raise ScheduleNotFound, InvalidTiming or UnknownZone."""
        schedule = await self.schedules.get(name)
        times = self.read_timing(schedule.timing, schedule.zone)
        return await self.schedules.resume(name, next(times(self.clock()), None))

    def upcoming(self, schedule: Schedule, limit: int = 3) -> tuple[datetime, ...]:
        """Its next times; none where it is paused, has ended, or this machine lacks its zone."""
        if schedule.next_at is None or schedule.paused_at is not None:
            return ()
        try:
            times = self.read_timing(schedule.timing, schedule.zone)
        except (InvalidTiming, UnknownZone):
            return (schedule.next_at,)
        return schedule.next_at, *islice(times(schedule.next_at), limit - 1)

    def _first(self, definition: Definition, now: datetime, faults: list[Fault]) -> datetime | None:
        try:
            first = next(self.read_timing(definition.timing, definition.zone)(now), None)
        except InvalidTiming as error:
            faults.append(Fault("timing", str(error)))
        except UnknownZone as error:
            faults.append(Fault("zone", str(error)))
        else:
            if first is None:
                faults.append(Fault("timing", "does not come any more"))
            return first
        return None

    def _request(self, definition: Definition, by: str, now: datetime, faults: list[Fault]) -> JsonObject:
        try:
            return self.submit_job.accepted(
                Order(definition.type_name, definition.parameters), by, now
            ).request
        except UnknownJobType as error:
            faults.append(Fault("type", str(error)))
        except InvalidRequest as error:
            faults += [Fault(f"request.{it.field}".rstrip("."), it.problem) for it in error.faults]
        return {}


class Scheduler:
    """Fires what is due, beside the pump of every worker process; they need not know of each other.

    It sleeps until the next due time, at most five seconds, and outlives errors of the store. A due
    time is fired once even if the clock is set back: the next time only ever moves on.
    """

    def __init__(
        self, due: DueSchedules, submit_job: SubmitJob, read_timing: ReadTiming, clock: Clock
    ) -> None:
        self._due = due
        self._submit_job = submit_job
        self._read_timing = read_timing
        self._clock = clock
        self._failures = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fire what is due for as long as the context is open."""
        task = asyncio.create_task(self.run(), name="scheduler")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run(self) -> None:
        """Until cancelled."""
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            wait = await self._turn()

    async def fire(self) -> int:
        """Deal with what is due now, and return how many due times that were. Raise StoreUnavailable."""
        now = self._clock()
        fired = await self._due.fire(
            self._submit_job.job_types.names, now, lambda schedule, busy: self._plan(schedule, now, busy=busy)
        )
        for queue in fired.queues:
            self._submit_job.bell.ring(queue)
        return fired.jobs + fired.missed

    async def _turn(self) -> float:
        """Do what is to be done now; the seconds until the next look."""
        try:
            next_at = await self._due.next_at(self._submit_job.job_types.names)
            wait = _LOOK_EVERY if next_at is None else (next_at - self._clock()).total_seconds()
            if wait <= 0:
                wait = _SHORTEST if await self.fire() else _AFTER_OTHERS
        except Exception as error:  # noqa: BLE001 - schedules outlive whatever the store does
            self._failures += 1
            logger.warning("schedules cannot be fired right now: %s", str(error) or type(error).__name__)
            return min(2.0 ** (self._failures - 3), _LOOK_EVERY)
        self._failures = 0
        return min(max(wait, _SHORTEST), _LOOK_EVERY)

    def _plan(self, schedule: Schedule, now: datetime, *, busy: bool) -> Planned | None:
        """A Plan. One that this process cannot read is left to those that can."""
        try:
            times = self._read_timing(schedule.timing, schedule.zone)
        except (InvalidTiming, UnknownZone) as error:
            logger.warning("the schedule %s is left to other processes: %s", schedule.name, error)
            return None
        firing = schedule.firing(now, times, busy=busy)
        if firing.missed:
            logger.info(
                "the schedule %s misses %d due times, as its policies say", schedule.name, firing.missed
            )
        try:
            return Planned(firing, tuple(self._job(schedule, at, now) for at in firing.due))
        except InvalidRequest as error:
            logger.warning("the schedule %s was not fired: %s", schedule.name, error)
            return Planned(_in_vain(firing))

    def _job(self, schedule: Schedule, due: datetime, now: datetime) -> NewJob:
        terms = Terms(run_at=due, tags=(schedule.tag,), job_id=job_id(schedule, due))
        return self._submit_job.accepted(
            Order(schedule.type, schedule.request, terms), schedule.submitted_by, now
        )


def _in_vain(firing: Firing) -> Firing:
    newest = max((it for it in (*firing.due, firing.missed_at) if it is not None), default=None)
    return Firing((), firing.missed + len(firing.due), newest, firing.next_at)


def job_id(schedule: Schedule, due: datetime) -> UUID:
    """The same UUIDv7 for the same schedule, work and due time, in every process."""
    work = json.dumps([schedule.name, schedule.type, schedule.request, due.isoformat()], sort_keys=True)
    noise = int.from_bytes(hashlib.sha256(work.encode()).digest()[:10]) & (1 << 74) - 1
    milliseconds = int(due.timestamp() * 1000) & (1 << 48) - 1
    value = milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)
