"""The job store, as those see it who submit and watch jobs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from forgehand.application.ports.failures import Permanent, Transient
from forgehand.domain.jobs import Attempt, Job, JobEvent, JobState, JsonObject, Priority


class JobNotFound(Permanent):
    """There is no such job."""


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
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that a submission led to; `created` is False where it existed already."""

    job: Job
    created: bool


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list. Empty collections do not restrict."""

    types: Collection[str] = ()
    states: Collection[JobState] = ()
    submitted_by: str | None = None


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
        IdempotencyConflict where the key was used for another request, JobIdTaken for an id in use.
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
