"""A job, its attempts and what may happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from forgehand.domain.errors import DomainError

JsonObject: TypeAlias = Mapping[str, Any]


class JobState(StrEnum):
    """The five states that users know."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}


class Condition(StrEnum):
    """What a job's state alone does not say."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    RETRYING = "retrying"
    CANCELLING = "cancelling"
    DEAD = "dead"


class UnknownPriority(DomainError):
    """No priority has that name; the message lists those there are."""


class Priority(IntEnum):
    """The higher number is claimed first. MEDIUM and CRITICAL are other names for two of the four."""

    LOW = 10
    NORMAL = 20
    HIGH = 30
    URGENT = 40
    MEDIUM = NORMAL
    CRITICAL = URGENT

    @classmethod
    def parse(cls, name: str) -> Priority:
        """The priority of that name, in whatever case. Raise UnknownPriority."""
        try:
            return cls[name.strip().upper()]
        except KeyError:
            known = ", ".join(it.lower() for it in cls.__members__)
            raise UnknownPriority(f"there is no priority {name[:40]!r}; there are: {known}") from None


class ParentPolicy(StrEnum):
    """What becomes of a waiting job when a job it waits for fails or is cancelled."""

    FAIL = "fail"
    RELEASE = "release"


class InvalidPolicy(DomainError):
    """A retry policy or a rate limit that could not work."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `starts` attempts begin within any window of `per`, whatever the number of workers."""

    starts: int
    per: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if self.starts < 1 or self.per <= timedelta(0):
            raise InvalidPolicy(f"not a usable rate limit: {self}")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job is tried and how long it waits in between.

    The wait before attempt n+1 is `first_delay` doubled n-1 times, at most `longest_delay`.
    """

    max_attempts: int = 3
    first_delay: timedelta = timedelta(seconds=1)
    longest_delay: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.first_delay < timedelta(0) or self.longest_delay < self.first_delay:
            raise InvalidPolicy(f"not a usable retry policy: {self}")

    def delay_after(self, attempt: int, jitter: float = 0.0) -> timedelta:
        """`attempt` counts from 1; `jitter` in [0, 1) lengthens the wait by up to a quarter."""
        doublings = min(attempt - 1, 40)
        seconds = self.first_delay.total_seconds() * 2.0**doublings * (1 + jitter / 4)
        return timedelta(seconds=min(seconds, self.longest_delay.total_seconds()))


@dataclass(frozen=True, slots=True)
class JobProblem:
    """Why an attempt or a job failed. `kind` is the error's class name; nothing here holds a secret."""

    kind: str
    message: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's fenced right to one attempt of one job. `id` is made by the worker."""

    job_id: UUID
    id: UUID
    worker_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work, as it stands in the store."""

    id: UUID
    type: str
    state: JobState
    priority: Priority
    request: JsonObject
    schema_version: int
    submitted_by: str
    created_at: datetime
    run_at: datetime
    max_attempts: int
    attempts: int = 0
    lease: Lease | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    timeout: timedelta | None = None
    on_behalf_of: str | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    blockers: int = 0
    cancel_at: datetime | None = None
    progress: int = 0
    note: str | None = None
    result: JsonObject | None = None
    problem: JobProblem | None = None

    def condition(self, now: datetime) -> str:
        """The state, with what is derived: waiting, scheduled, retrying, cancelling, dead."""
        match self.state:
            case JobState.PENDING if self.blockers:
                return Condition.WAITING.value
            case JobState.RUNNING if self.cancel_at:
                return Condition.CANCELLING.value
            case JobState.PENDING if self.attempts:
                return Condition.RETRYING.value
            case JobState.PENDING if self.run_at > now:
                return Condition.SCHEDULED.value
            case JobState.FAILED if self.attempts >= self.max_attempts:
                return Condition.DEAD.value
            case state:
                return state.value


class AttemptOutcome(StrEnum):
    """How an attempt ended. LOST: its worker was not seen any more. RETURNED: handed back unspent."""

    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    RETURNED = "returned"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job. `outcome` is None while it runs."""

    job_id: UUID
    number: int
    lease_id: UUID
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None
    problem: JobProblem | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of one attempt, to be written under its lease or not at all.

    `state` is what the job becomes; PENDING with `run_at` is a retry, or a job handed back when
    `outcome` is RETURNED (which gives its attempt back).
    """

    lease: Lease
    state: JobState
    outcome: AttemptOutcome
    at: datetime
    run_at: datetime | None = None
    result: JsonObject | None = None
    problem: JobProblem | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours to run now, under its lease."""

    job: Job
    lease: Lease

    def complete(self, result: JsonObject, at: datetime) -> Settlement:
        return Settlement(self.lease, JobState.COMPLETED, AttemptOutcome.COMPLETED, at, result=result)

    def fail(self, problem: JobProblem, at: datetime) -> Settlement:
        """End the job as failed, whatever attempts are left."""
        return Settlement(self.lease, JobState.FAILED, AttemptOutcome.FAILED, at, problem=problem)

    def try_again(self, problem: JobProblem, at: datetime, wait: timedelta) -> Settlement:
        """Back to pending after `wait`, or failed where no attempt is left."""
        if self.lease.attempt >= self.job.max_attempts:
            return self.fail(problem, at)
        return Settlement(
            self.lease, JobState.PENDING, AttemptOutcome.FAILED, at, run_at=at + wait, problem=problem
        )

    def cancel(self, at: datetime) -> Settlement:
        return Settlement(self.lease, JobState.CANCELLED, AttemptOutcome.CANCELLED, at)

    def snooze(self, problem: JobProblem, at: datetime, wait: timedelta) -> Settlement:
        """Back to pending after `wait`, the attempt not spent."""
        return Settlement(
            self.lease, JobState.PENDING, AttemptOutcome.RETURNED, at, run_at=at + wait, problem=problem
        )

    def hand_back(self, at: datetime) -> Settlement:
        """Back to pending at once, the attempt not spent."""
        return Settlement(self.lease, JobState.PENDING, AttemptOutcome.RETURNED, at, run_at=at)


class EventKind(StrEnum):
    """What the event table holds; it is log, progress and stream at once."""

    SUBMITTED = "submitted"
    STARTED = "started"
    PROGRESS = "progress"
    LOG = "log"
    MODEL_CALL = "model_call"
    RETRYING = "retrying"
    RETURNED = "returned"
    LOST = "lost"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    REPLAYED = "replayed"
    RELEASED = "released"

    @property
    def terminal(self) -> bool:
        return self in {EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED}


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's history. `sequence` orders events; ids and times do not."""

    sequence: int
    job_id: UUID
    at: datetime
    kind: EventKind
    data: JsonObject = field(default_factory=dict)
