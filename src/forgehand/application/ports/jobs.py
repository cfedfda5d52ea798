"""The job store, as those see it who submit and watch jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from forgehand.application.ports.failures import Permanent, Transient
from forgehand.domain.jobs import (
    Attempt,
    Condition,
    Job,
    JobEvent,
    JobState,
    JsonObject,
    ParentPolicy,
    Priority,
)


class JobNotFound(Permanent):
    """There is no such job."""


class ParentNotFound(Permanent):
    """A job waits for a job that does not exist."""


class IdempotencyConflict(Permanent):
    """The idempotency key was used before, for another request."""


class JobIdTaken(Permanent):
    """The job id that the caller supplied belongs to another job."""


class StoreUnavailable(Transient):
    """The database cannot be reached or cut the connection. Nothing was half-written."""


class StoreNewer(Permanent):
    """The database was written by a newer version of Forgehand; upgrade this one."""


class StoreOutdated(Permanent):
    """The database lacks migrations: run `forgehand db upgrade`."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's promise that two submissions are one. Kept for 24 hours.

    `digest` is of the request; the same key with another digest is a conflict.
    """

    owner: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be stored. `request` is JSON and already valid for its type."""

    id: UUID
    type: str
    request: JsonObject
    schema_version: int
    submitted_by: str
    run_at: datetime
    max_attempts: int
    priority: Priority = Priority.NORMAL
    timeout: timedelta | None = None
    on_behalf_of: str | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    after: tuple[UUID, ...] = ()
    on_parent_failure: ParentPolicy = ParentPolicy.FAIL
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a submission led to; `created` is False where it existed already."""

    job: Job
    created: bool


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event of any job, and the position after it (opaque, orders nothing)."""

    position: str
    event: JobEvent


@dataclass(frozen=True, slots=True)
class Count:
    """Jobs of one type in one state."""

    type: str
    state: JobState
    jobs: int


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs. Empty collections do not restrict.

    A job is wanted by its state or by its condition; `now` is what SCHEDULED is measured by.
    """

    types: Collection[str] = ()
    states: Collection[JobState] = ()
    conditions: Collection[Condition] = ()
    now: datetime | None = None
    submitted_by: str | None = None
    tag: str | None = None
    ids: Collection[UUID] = ()


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first; `next_cursor` is None on the last page."""

    items: tuple[Job, ...]
    next_cursor: str | None = None


class Jobs(Protocol):
    """Each call is its own transaction. Any of them raises StoreUnavailable."""

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[Submission]:
        """Store all of `jobs` or none; when this returns they are committed.

        Where a job of the same type with the same unique key has not ended, or the idempotency key was
        used for the same request within 24 hours, that job is returned instead. Raise
        IdempotencyConflict where the key was used for another request, JobIdTaken for an id in use,
        ParentNotFound where `after` names a job that is neither stored nor submitted with it. A job
        whose parents have not all ended well waits; parents that have count at once.
        """
        ...

    async def get(self, job_id: UUID) -> Job:
        """Raise JobNotFound."""
        ...

    async def page(self, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        """Newest first. A cursor that is none of ours raises ValueError."""
        ...

    async def attempts(self, job_id: UUID) -> Sequence[Attempt]:
        """First to last. A job that does not exist has none."""
        ...

    async def events(self, job_id: UUID, *, after: int = 0, limit: int = 1000) -> Sequence[JobEvent]:
        """In order of their sequence, those greater than `after`."""
        ...

    async def stream(self, *, after: str | None = None, limit: int = 1000) -> Sequence[StreamedEvent]:
        """The events of all jobs, each with the position to go on from; None: from the first kept one.

        An event that is not returned yet is never passed over: it comes with a later call. A
        position that is none of ours raises ValueError.
        """
        ...

    async def tail(self) -> str:
        """The position from which `stream` tells only what is to come."""
        ...


class JobControl(Protocol):
    """What an operator does to jobs and queues. Each call is its own transaction."""

    async def cancel(self, wanted: JobFilter, now: datetime, *, limit: int = 1000) -> Sequence[Job]:
        """Cancel pending jobs at once and ask for the end of running ones; those that ended are left.

        The jobs that changed, as they are now. Cancelling again changes nothing.
        """
        ...

    async def replay(self, wanted: JobFilter, now: datetime, *, limit: int = 1000) -> Sequence[Job]:
        """Failed and cancelled jobs become pending again, with all their attempts to spend; others are left.

        A job whose unique key is held by a newer one is left, too. A job waits again for those of its
        parents that are pending or running by then, and for no others.
        """
        ...

    async def pause(self, type_name: str, now: datetime) -> None:
        """Start no more jobs of that type, in any process. Running ones go on. Again: no change."""
        ...

    async def resume(self, type_name: str) -> None: ...

    async def paused(self) -> frozenset[str]:
        """The types that are paused."""
        ...

    async def counts(self) -> Sequence[Count]:
        """How many jobs there are of each type and state. One index scan, no table scan."""
        ...

    async def count(self, wanted: JobFilter) -> int:
        """How many jobs that is."""
        ...

    async def purge(self, wanted: JobFilter, before: datetime, *, keep: int = 0, limit: int = 1000) -> int:
        """Delete ended jobs of `wanted` that finished before that time, with all their rows.

        The newest `keep` ended jobs of each type stay. Returns how many went, at most `limit`.
        """
        ...
