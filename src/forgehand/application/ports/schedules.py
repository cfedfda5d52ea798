"""Where schedules are kept, as those see it who change them and those who fire them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from forgehand.application.ports.failures import Permanent
from forgehand.application.ports.jobs import NewJob
from forgehand.domain.schedules import Firing, Schedule


class ScheduleNotFound(Permanent):
    """There is no schedule of that name."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What to do about one schedule: a job for each of `firing.due`, in the same order."""

    firing: Firing
    jobs: tuple[NewJob, ...] = ()


Plan: TypeAlias = Callable[[Schedule, bool], Planned | None]
"""Decides about one due schedule, told whether its last job has not ended; None leaves it as it is.

It is called inside the transaction: it only computes, and does not raise.
"""


@dataclass(frozen=True, slots=True)
class Fired:
    """`jobs` that were made, due times that were `missed`, and the `queues` that have new work."""

    jobs: int = 0
    missed: int = 0
    queues: frozenset[str] = frozenset()


class Schedules(Protocol):
    """Each call is its own transaction. Any of them raises StoreUnavailable."""

    async def put(self, schedule: Schedule) -> Schedule:
        """Insert, or change the one of that name; the schedule as it is now.

        A changed one keeps its history and its pause, and where timing and zone stay the same its next time.
        """
        ...

    async def get(self, name: str) -> Schedule:
        """Raise ScheduleNotFound."""
        ...

    async def all(self) -> Sequence[Schedule]:
        """By name."""
        ...

    async def remove(self, name: str) -> None:
        """Its jobs stay. Raise ScheduleNotFound."""
        ...

    async def pause(self, name: str, now: datetime) -> Schedule:
        """Fire it no more, until `resume`. Again: no change. Raise ScheduleNotFound."""
        ...

    async def resume(self, name: str, next_at: datetime | None) -> Schedule:
        """Fire it again, from `next_at` on; one that is not paused is left. Raise ScheduleNotFound."""
        ...


class DueSchedules(Protocol):
    """Each call is one transaction. Any of them raises StoreUnavailable."""

    async def next_at(self, types: Collection[str]) -> datetime | None:
        """When the next schedule of these job types is due, if there is one."""
        ...

    async def fire(self, types: Collection[str], now: datetime, plan: Plan) -> Fired:
        """Do as `plan` says with each schedule of these types that is due, all or nothing.

        However many processes call this, each due time is planned by one of them; what another
        one has in hand is passed over. A job that exists already is not made again.
        """
        ...
