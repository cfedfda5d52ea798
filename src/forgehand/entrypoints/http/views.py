"""What the API answers: read models, in camelCase on the wire."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.alias_generators import to_camel

from forgehand.application.clock import Clock
from forgehand.application.documents import DocumentView
from forgehand.application.jobs.job_type import JobType, JobTypes, UnknownJobType
from forgehand.domain.documentation import Documentation, DocumentationStatus, PullRequestRecord
from forgehand.domain.jobs import (
    Attempt,
    AttemptOutcome,
    EventKind,
    Job,
    JobEvent,
    JobProblem,
    JobState,
    JsonObject,
)
from forgehand.domain.schedules import CatchUp, Overlap


class View(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, from_attributes=True
    )


class JobProblemView(View):
    """Why an attempt or a job failed. Traces stay in the store."""

    kind: str
    message: str


class JobView(View):
    """A job as it stands. `condition` is the state, or waiting, scheduled, retrying, cancelling, dead."""

    id: UUID
    type: str
    state: JobState
    condition: str
    priority: str
    request: dict[str, Any]
    result: dict[str, Any] | None
    problem: JobProblemView | None
    progress: int
    note: str | None
    submitted_by: str
    on_behalf_of: str | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt_count: int
    max_attempts: int
    unique_key: str | None
    tags: list[str]


class AttemptView(View):
    """One try at a job; `outcome` is null while it runs. `worker` is its host and process id."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    problem: JobProblemView | None


class JobDetailView(JobView):
    """A job with its attempts, first to last."""

    attempts: list[AttemptView]


class JobPageView(View):
    """Jobs, newest first. `nextCursor` is null on the last page."""

    items: list[JobView]
    next_cursor: str | None


class EventView(View):
    """One line of a job's history."""

    sequence: int
    at: datetime
    kind: EventKind
    data: dict[str, Any]


class EventListView(View):
    """Events in order. Ask again with `after` set to `last` for those that follow."""

    items: list[EventView]
    last: int


class StreamedEventView(EventView):
    """An event with the job that it happened to."""

    job_id: UUID


class JobListView(View):
    """Jobs in the order of their requests."""

    items: list[JobView]


class ChangedView(View):
    """How many jobs were changed."""

    jobs: int


class ProcessedJobView(View):
    """A job that was processed: `status` is its state now, or retrying."""

    id: UUID
    type: str
    status: str


class ProcessedView(View):
    """What was processed. `failed` counts the jobs whose attempt failed."""

    success: bool
    message: str
    processed: int
    failed: int
    jobs: list[ProcessedJobView]


class QueueView(View):
    """Whether jobs of a type are started."""

    type: str
    paused: bool


class TypeStatsView(QueueView):
    """The jobs of a type, counted by state."""

    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int


class WorkerView(View):
    """A process that runs jobs. `alive`: it was seen within a lease; if not, its jobs are rescued."""

    label: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    running: int


class StatsView(View):
    """All types that are known or have jobs, by name; all workers, the oldest first."""

    types: list[TypeStatsView]
    workers: list[WorkerView]


class DocumentSummaryView(View):
    """A document without its contents."""

    id: UUID
    repo: str
    number: int
    version: int
    title: str
    author: str
    url: str | None
    head_sha: str
    model: str | None
    created_at: datetime


class DocumentPageView(View):
    """The latest document of each pull request, newest first. `nextCursor` is null on the last page."""

    items: list[DocumentSummaryView]
    next_cursor: str | None


class DifferenceView(View):
    """What one document says and the other does not, as a unified diff; empty where they say the same."""

    old: DocumentSummaryView
    new: DocumentSummaryView
    diff: str


class PullRequestView(View):
    """What is kept of a pull request, and where it stands with its documentation."""

    repo: str
    number: int
    title: str
    author: str
    url: str | None
    base_sha: str
    head_sha: str
    merged_at: datetime | None
    status: DocumentationStatus
    documentation_id: UUID | None
    published_url: str | None
    problem: str | None


class ScheduleView(View):
    """A schedule as it stands. `upcoming` are its next times; `fired` and `missed` count the past ones."""

    name: str
    type: str
    request: dict[str, Any]
    timing: str
    zone: str
    overlap: Overlap
    catch_up: CatchUp
    submitted_by: str
    created_at: datetime
    paused_at: datetime | None
    upcoming: list[datetime]
    last_at: datetime | None
    last_job_id: UUID | None
    fired: int
    missed: int
    missed_at: datetime | None


class ScheduleListView(View):
    """All schedules, by name."""

    items: list[ScheduleView]


class HealthView(View):
    """The process is up."""

    status: str


@dataclass(frozen=True, slots=True)
class JobViews:
    """Views of jobs, with their requests and results in the words of the wire."""

    job_types: JobTypes
    clock: Clock

    def job(self, job: Job) -> JobView:
        return JobView(**self._values(job))

    def detail(self, job: Job, attempts: Sequence[Attempt]) -> JobDetailView:
        tries = [AttemptView.model_validate(attempt) for attempt in attempts]
        return JobDetailView(**self._values(job), attempts=tries)

    def _values(self, job: Job) -> dict[str, Any]:
        job_type = self._type(job.type)
        same = JobView.model_fields.keys() & set(Job.__dataclass_fields__)
        return {name: getattr(job, name) for name in same} | {
            "condition": job.condition(self.clock()),
            "priority": job.priority.name.lower(),
            "attempt_count": job.attempts,
            "tags": list(job.tags),
            "problem": _problem(job.problem),
            "request": _on_the_wire(job.request, job_type.request if job_type else None),
            "result": job.result and _on_the_wire(job.result, job_type.result if job_type else None),
        }

    def _type(self, name: str) -> JobType | None:
        try:
            return self.job_types.named(name)
        except UnknownJobType:
            return None


ANSWERS: tuple[type[BaseModel], ...] = (
    JobView,
    JobDetailView,
    JobPageView,
    JobListView,
    EventListView,
    StreamedEventView,
    ChangedView,
    ProcessedView,
    QueueView,
    StatsView,
    DocumentView,
    DocumentPageView,
    DifferenceView,
    PullRequestView,
    ScheduleView,
    ScheduleListView,
    HealthView,
)


@cache
def typed_job_view(job_type: JobType) -> type[JobView]:
    """JobView as the API's description shows it for one job type."""
    result: Any = job_type.result | None
    words = "".join(word.capitalize() for word in job_type.name.split("-"))
    return create_model(
        f"{words}Job",
        __base__=JobView,
        __doc__=f"A {job_type.name} job.",
        request=(job_type.request, ...),
        result=(result, ...),
    )


def event(event: JobEvent) -> EventView:
    data = {_camel(name): value for name, value in event.data.items()}
    return EventView(sequence=event.sequence, at=event.at, kind=event.kind, data=data)


def streamed_event(one: JobEvent) -> StreamedEventView:
    return StreamedEventView(job_id=one.job_id, **dict(event(one)))


def summary(document: Documentation) -> DocumentSummaryView:
    names = DocumentSummaryView.model_fields
    return DocumentSummaryView(
        **{name: getattr(document, name) for name in names} | {"repo": str(document.repo)}
    )


def pull_request(record: PullRequestRecord) -> PullRequestView:
    names = PullRequestView.model_fields
    return PullRequestView(**{name: getattr(record, name) for name in names} | {"repo": str(record.repo)})


def _problem(problem: JobProblem | None) -> JobProblemView | None:
    return None if problem is None else JobProblemView.model_validate(problem)


def _on_the_wire(stored: JsonObject, model: type[BaseModel] | None) -> dict[str, Any]:
    """By the model's aliases; what no longer fits its model is shown as it lies."""
    if model is None:
        return dict(stored)
    try:
        return model.model_validate(stored).model_dump(mode="json", by_alias=True)
    except ValidationError:
        return dict(stored)


def _camel(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda found: found[1].upper(), name)
