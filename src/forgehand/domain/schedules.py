"""A schedule: which job is to be submitted when, and what becomes of times that were missed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain, count, islice
from typing import TypeAlias
from uuid import UUID

from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import JsonObject

LATE = timedelta(seconds=10)
"""A due time that is older than this is missed, and the catch-up policy says what becomes of it."""

MOST_CAUGHT_UP = 100
"""So many missed due times, the newest ones, are fired at most after an outage."""

MOST_COUNTED = 100_000
"""So many due times of one outage are looked at; `missed` counts no more for it."""

LONGEST_TIMING = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
_INTERVAL = re.compile(r"every +([0-9]{1,6}) *(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_INTERVAL = timedelta(days=366)

Times: TypeAlias = Callable[[datetime], Iterator[datetime]]
"""The due times after a moment, in order, as UTC; the iterator ends where there are no more."""

ReadTiming: TypeAlias = Callable[[str, str], Times]
"""What a timing's text means in a time zone. Raises InvalidTiming or UnknownZone."""


class InvalidTiming(DomainError):
    """The text says no times, or none that ever come."""


class UnknownZone(DomainError):
    """There is no such time zone on this machine."""


class Overlap(StrEnum):
    """What happens when the schedule's last job has not ended: miss this time, or run both."""

    SKIP = "skip"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """What becomes of due times that passed while nobody looked: none is fired, one for all, or each."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Interval:
    """Every multiple of `period` since 1970, so that all processes agree on the times."""

    period: timedelta

    @classmethod
    def parsed(cls, text: str) -> Interval | None:
        """`every 90s`, `every 5m`, `every 2h`, `every 1d`; None for a text of another kind.

        Raise InvalidTiming for a period of nothing or of more than a year.
        """
        if not text.startswith("every "):
            return None
        found = _INTERVAL.fullmatch(text)
        period = timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else timedelta(0)
        if not timedelta(0) < period <= _LONGEST_INTERVAL:
            raise InvalidTiming(f"{text!r} is no interval: write `every 30s`, `every 5m`, `every 2h` or such")
        return cls(period)

    def times(self, after: datetime) -> Iterator[datetime]:
        """A Times."""
        for number in count((after - _EPOCH) // self.period + 1):
            try:
                yield _EPOCH + number * self.period
            except OverflowError:
                return


@dataclass(frozen=True, slots=True)
class Firing:
    """What is done about all that is due: `due` is fired, oldest first, and `missed` times are not.

    `missed_at` is the newest of these. `next_at` is the first time that is still to come, if any.
    """

    due: tuple[datetime, ...] = ()
    missed: int = 0
    missed_at: datetime | None = None
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule, as it stands in the store. `fired` and `missed` count its due times since `created_at`.

    `last_at` is the newest due time that was fired, and `last_job_id` its job.
    """

    name: str
    type: str
    request: JsonObject
    timing: str
    zone: str
    overlap: Overlap
    catch_up: CatchUp
    submitted_by: str
    created_at: datetime
    next_at: datetime | None
    paused_at: datetime | None = None
    last_at: datetime | None = None
    last_job_id: UUID | None = None
    fired: int = 0
    missed: int = 0
    missed_at: datetime | None = None

    @property
    def tag(self) -> str:
        """What its jobs are tagged with."""
        return f"schedule:{self.name}"

    def firing(self, now: datetime, times: Times, *, busy: bool) -> Firing:
        """What to do now; `busy` says that the last job has not ended.

        Every due time from `next_at` to `now` is either fired or missed, and the next one lies after `now`.
        """
        if self.next_at is None or self.next_at > now:
            return Firing(next_at=self.next_at)
        newest: deque[datetime] = deque(maxlen=MOST_CAUGHT_UP)
        counted, next_at = 0, None
        for at in islice(chain([self.next_at], times(self.next_at)), MOST_COUNTED):
            if at > now:
                next_at = at
                break
            counted += 1
            newest.append(at)
        else:
            next_at = next(times(now), None)
        due = self._wanted(tuple(newest), now)
        if self.overlap is Overlap.SKIP:
            due = () if busy else due[-1:]
        missed_at = max((at for at in newest if at not in due), default=None)
        return Firing(due, counted - len(due), missed_at, next_at)

    def _wanted(self, newest: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
        late = self.next_at is not None and self.next_at < now - LATE
        match self.catch_up:
            case CatchUp.SKIP:
                return tuple(at for at in newest if at >= now - LATE)
            case CatchUp.ONCE if late:
                return newest[-1:]
            case _:
                return newest


def usable_name(text: str) -> bool:
    """Whether a schedule may be called that: it is part of URLs and tags."""
    return _NAME.fullmatch(text) is not None
