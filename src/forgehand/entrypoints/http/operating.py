"""What an operator does to jobs and queues."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from forgehand.application.clock import Clock
from forgehand.application.jobs.job_type import JobTypes
from forgehand.application.jobs.operating import InvalidSelection, OperateJobs, Selection
from forgehand.application.jobs.terms import duration
from forgehand.application.ports.jobs import JobControl, JobFilter
from forgehand.domain.jobs import JobState
from forgehand.entrypoints.http import views
from forgehand.entrypoints.http.in_process import InProcess
from forgehand.entrypoints.http.openapi import problem_responses

_TOLD = problem_responses(
    HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND
)
_TOLD_OF_ONE = {**_TOLD, **problem_responses(HTTPStatus.CONFLICT)}
_TOLD_WITH_BODY = {
    **_TOLD,
    **problem_responses(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
}
_Word = Annotated[str, Field(max_length=255)]


class Body(BaseModel):
    """What is sent; unknown fields are errors."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class SelectionBody(Body):
    """Which jobs: those that fit all that is given. To mean all there are, say `all`."""

    types: list[_Word] = Field(default=[], max_length=100)
    states: list[_Word] = Field(
        default=[],
        max_length=20,
        description="states, or waiting, scheduled, retrying, cancelling, dead",
    )
    tag: _Word | None = None
    submitted_by: _Word | None = None
    ids: list[UUID] = Field(default=[], max_length=1000)
    all: bool = False

    def read(self, known: JobTypes, clock: Clock) -> JobFilter:
        """Raise UnknownJobType or InvalidSelection."""
        chosen = Selection(self.types, self.states, self.tag, self.submitted_by, self.ids)
        if chosen.empty and not self.all:
            raise InvalidSelection('say which jobs are meant, or `"all": true`')
        return chosen.read(known, clock())


class PurgeBody(SelectionBody):
    """Which ended jobs, and how long ago they ended at least: `90`, `5m`, `2h`, `1d`."""

    older_than: _Word = "0"


class ProcessBody(Body):
    """How many jobs at most, of which types (none: all)."""

    limit: int = Field(10, ge=1, le=1000)
    types: list[_Word] = Field(default=[], max_length=100)


@post(
    "/jobs/{job_id:uuid}/cancel", operation_id="cancelJob", status_code=HTTPStatus.OK, responses=_TOLD_OF_ONE
)
async def cancel_job(
    job_id: FromPath[UUID],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_views: NamedDependency[SkipValidation[views.JobViews]],
) -> views.JobView:
    """Cancel a pending job at once, ask for the end of a running one."""
    return job_views.job(await operate_jobs.cancel_one(job_id))


@delete("/jobs/{job_id:uuid}", operation_id="deleteJob", status_code=HTTPStatus.OK, responses=_TOLD_OF_ONE)
async def delete_job(
    job_id: FromPath[UUID],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_views: NamedDependency[SkipValidation[views.JobViews]],
) -> views.JobView:
    """Cancel a job, as `cancel` does: what it was stays on record until its time is over."""
    return job_views.job(await operate_jobs.cancel_one(job_id))


@post("/jobs/{job_id:uuid}/retry", operation_id="retryJob", status_code=HTTPStatus.OK, responses=_TOLD_OF_ONE)
async def retry_job(
    job_id: FromPath[UUID],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_views: NamedDependency[SkipValidation[views.JobViews]],
) -> views.JobView:
    """Start a failed or cancelled job anew, with all its attempts."""
    return job_views.job(await operate_jobs.replay_one(job_id))


@post("/jobs/cancel", operation_id="cancelJobs", status_code=HTTPStatus.OK, responses=_TOLD_WITH_BODY)
async def cancel_jobs(
    data: JSONBody[SelectionBody],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
    clock: NamedDependency[SkipValidation[Clock]],
) -> views.ChangedView:
    """Cancel all pending and running jobs that are chosen."""
    return views.ChangedView(jobs=await operate_jobs.cancel(data.read(job_types, clock)))


@post("/jobs/replay", operation_id="replayJobs", status_code=HTTPStatus.OK, responses=_TOLD_WITH_BODY)
async def replay_jobs(
    data: JSONBody[SelectionBody],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
    clock: NamedDependency[SkipValidation[Clock]],
) -> views.ChangedView:
    """Start all failed and cancelled jobs anew that are chosen; `"states": ["dead"]` are the dead ones."""
    return views.ChangedView(jobs=await operate_jobs.replay(data.read(job_types, clock)))


@post("/jobs/purge", operation_id="purgeJobs", status_code=HTTPStatus.OK, responses=_TOLD_WITH_BODY)
async def purge_jobs(
    data: JSONBody[PurgeBody],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
    clock: NamedDependency[SkipValidation[Clock]],
) -> views.ChangedView:
    """Delete all ended jobs that are chosen, with all that is kept of them."""
    try:
        age = duration(data.older_than)
    except ValueError as error:
        raise InvalidSelection(f"olderThan: {error}") from None
    return views.ChangedView(jobs=await operate_jobs.purge(data.read(job_types, clock), age))


@post("/jobs/process", operation_id="processJobs", status_code=HTTPStatus.OK, responses=_TOLD_WITH_BODY)
async def process_jobs(
    data: JSONBody[ProcessBody],
    in_process: NamedDependency[SkipValidation[InProcess]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
) -> views.ProcessedView:
    """Do jobs that are due here and now, one attempt each: a cron job or a serverless host drives it all."""
    names = tuple(job_types.named(name).name for name in dict.fromkeys(data.types)) or job_types.names
    return views.ProcessedView.model_validate(await in_process.process_due(data.limit, names))


@post("/jobs/{job_id:uuid}/process", operation_id="processJob", status_code=HTTPStatus.OK, responses=_TOLD)
async def process_job(
    job_id: FromPath[UUID], in_process: NamedDependency[SkipValidation[InProcess]]
) -> views.ProcessedView:
    """Do one job here and now, if it is due: one attempt."""
    return views.ProcessedView.model_validate(await in_process.process_one(job_id))


@post("/queues/{type_name:str}/pause", operation_id="pauseQueue", status_code=HTTPStatus.OK, responses=_TOLD)
async def pause_queue(
    type_name: FromPath[str],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
) -> views.QueueView:
    """Start no more jobs of a type, in any process; running ones go on."""
    name = job_types.named(type_name).name
    await operate_jobs.pause(name)
    return views.QueueView(type=name, paused=True)


@post(
    "/queues/{type_name:str}/resume", operation_id="resumeQueue", status_code=HTTPStatus.OK, responses=_TOLD
)
async def resume_queue(
    type_name: FromPath[str],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
) -> views.QueueView:
    """Start jobs of a paused type again."""
    name = job_types.named(type_name).name
    await operate_jobs.resume(name)
    return views.QueueView(type=name, paused=False)


@get("/stats", operation_id="getStats", responses=problem_responses(HTTPStatus.UNAUTHORIZED))
async def get_stats(
    control: NamedDependency[SkipValidation[JobControl]],
    operate_jobs: NamedDependency[SkipValidation[OperateJobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
) -> views.StatsView:
    """Count the jobs of each type and state, and say which types are paused and which workers there are."""
    paused = await control.paused()
    counts = {(it.type, it.state): it.jobs for it in await control.counts()}
    names = sorted({*job_types.names, *paused, *(name for name, _ in counts)})
    return views.StatsView(
        types=[
            views.TypeStatsView(
                type=name,
                paused=name in paused,
                **{state.value: counts.get((name, state), 0) for state in JobState},
            )
            for name in names
        ],
        workers=[
            views.WorkerView(
                label=it.worker.label,
                started_at=it.started_at,
                seen_at=it.seen_at,
                alive=alive,
                running=it.running,
            )
            for it, alive in await operate_jobs.workers()
        ],
    )


ROUTES = (
    cancel_job,
    delete_job,
    retry_job,
    cancel_jobs,
    replay_jobs,
    purge_jobs,
    process_jobs,
    process_job,
    pause_queue,
    resume_queue,
    get_stats,
)
