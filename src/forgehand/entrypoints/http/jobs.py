"""Jobs: one route to submit each type, and those to watch them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter, SkipValidation

from forgehand.application.clock import Clock
from forgehand.application.jobs.job_type import JobRequest, JobType, JobTypes
from forgehand.application.jobs.operating import Selection
from forgehand.application.jobs.submit import Fault, InvalidRequest, Order, SubmitJob
from forgehand.application.jobs.terms import WrittenTerms
from forgehand.application.ports.jobs import IdempotencyKey, Jobs
from forgehand.domain.access import AccessToken
from forgehand.domain.jobs import Condition, Job, JobState
from forgehand.entrypoints.http import views
from forgehand.entrypoints.http.in_process import InProcess
from forgehand.entrypoints.http.openapi import problem_responses
from forgehand.entrypoints.http.paging import Limit, paged
from forgehand.entrypoints.http.preferences import preferred_wait

LARGEST_BODY = 1024 * 1024
LARGEST_BATCH = 1000
_LARGEST_SEQUENCE = 2**63 - 1

Prefer: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer", description="`wait=N`: run it here now, answer within N seconds (1 to 600)"
    ),
]
Key: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key and body within 24 hours is the same job; another body is refused",
    ),
]

_ASKED = problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)
_TOLD = problem_responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def submission_route(job_type: JobType) -> HTTPRouteHandler:
    """`POST /jobs/{type}`, with the type's own request and result in the API's description."""
    view = views.typed_job_view(job_type)

    async def submit(
        data: JSONBody[JobRequest],
        request: Request[AccessToken, AccessToken, Any],
        submit_job: NamedDependency[SkipValidation[SubmitJob]],
        in_process: NamedDependency[SkipValidation[InProcess]],
        job_views: NamedDependency[SkipValidation[views.JobViews]],
        written_terms: NamedDependency[SkipValidation[WrittenTerms]],
        clock: NamedDependency[SkipValidation[Clock]],
        prefer: Prefer = None,
        idempotency_key: Key = None,
    ) -> Response[views.JobView]:
        wait, owner = preferred_wait(prefer), request.user.name
        terms = written_terms.read(job_type.name, clock())
        key = _key(
            owner, idempotency_key, job_type, _said(request, data.model_dump_json(exclude_defaults=True))
        )
        terms = replace(terms, idempotency=key)
        submission = await submit_job.submit(job_type.name, data, by=owner, terms=terms)
        job = await in_process.wait_for(submission.job, wait)
        return _answer(job, job_views.job(job), wait)

    # Litestar reads these when the route is made; a type checker cannot know the models.
    body: Any = JSONBody
    answer: Any = Response
    submit.__annotations__ |= {"data": body[job_type.request], "return": answer[view]}
    return post(
        f"/jobs/{job_type.name}",
        operation_id=f"submit{view.__name__}",
        summary=job_type.summary,
        status_code=HTTPStatus.ACCEPTED,
        guards=[_must_be_json],
        request_max_body_size=LARGEST_BODY,
        responses={
            200: ResponseSpec(view, generate_examples=False, description="The job has ended"),
            **_TOLD,
        },
    )(submit)


def batch_route(job_type: JobType) -> HTTPRouteHandler:
    """`POST /jobs/{type}/batch`: many requests of one type, all stored or none."""
    request_model: Any = job_type.request

    async def submit_many(
        data: JSONBody[list[JobRequest]],
        request: Request[AccessToken, AccessToken, Any],
        submit_job: NamedDependency[SkipValidation[SubmitJob]],
        job_views: NamedDependency[SkipValidation[views.JobViews]],
        written_terms: NamedDependency[SkipValidation[WrittenTerms]],
        clock: NamedDependency[SkipValidation[Clock]],
        idempotency_key: Key = None,
    ) -> views.JobListView:
        if len(data) > LARGEST_BATCH:
            raise InvalidRequest(job_type.name, (Fault("", f"there are more than {LARGEST_BATCH} requests"),))
        if written_terms.unique_key is not None:
            raise InvalidRequest(job_type.name, (Fault("uniqueKey", "would make one job of them all"),))
        terms, owner = written_terms.read(job_type.name, clock()), request.user.name
        said = _said(request, "\n".join(one.model_dump_json(exclude_defaults=True) for one in data))
        orders = []
        for number, one in enumerate(data):
            key = _key(owner, idempotency_key and f"{idempotency_key}#{number}", job_type, said)
            orders.append(Order(job_type.name, one, replace(terms, idempotency=key)))
        submissions = await submit_job.submit_many(orders, by=owner)
        return views.JobListView(items=[job_views.job(it.job) for it in submissions])

    body: Any = JSONBody
    submit_many.__annotations__ |= {"data": body[list[request_model]], "return": views.JobListView}
    return post(
        f"/jobs/{job_type.name}/batch",
        operation_id=f"submitMany{views.typed_job_view(job_type).__name__}s",
        summary=f"{job_type.summary} Many at once, all or none.",
        status_code=HTTPStatus.ACCEPTED,
        guards=[_must_be_json],
        request_max_body_size=LARGEST_BODY,
        responses=_TOLD,
    )(submit_many)


@post("/jobs/{type_name:str}", include_in_schema=False)
async def refuse_unknown_type(
    type_name: FromPath[str], job_types: NamedDependency[SkipValidation[JobTypes]]
) -> None:
    """Say which types there are."""
    job_types.named(type_name)


@get("/jobs", operation_id="listJobs", responses=_ASKED)
async def list_jobs(
    jobs: NamedDependency[SkipValidation[Jobs]],
    job_types: NamedDependency[SkipValidation[JobTypes]],
    job_views: NamedDependency[SkipValidation[views.JobViews]],
    clock: NamedDependency[SkipValidation[Clock]],
    types: Annotated[list[str] | None, QueryParameter(name="type", description="of these types")] = None,
    states: Annotated[
        list[str] | None,
        QueryParameter(
            name="state", description=f"in these states: {', '.join(JobState)}, {', '.join(Condition)}"
        ),
    ] = None,
    tag: Annotated[str | None, QueryParameter(max_length=255, description="with this tag")] = None,
    submitted_by: Annotated[
        str | None, QueryParameter(name="submittedBy", max_length=255, description="by this token or person")
    ] = None,
    limit: Limit = 50,
    cursor: FromQuery[str | None] = None,
) -> views.JobPageView:
    """List jobs, newest first."""
    wanted = Selection(types or (), states or (), tag, submitted_by).read(job_types, clock())
    page = await paged(jobs.page(wanted, limit=limit, cursor=cursor), cursor)
    return views.JobPageView(items=[job_views.job(job) for job in page.items], next_cursor=page.next_cursor)


@get("/jobs/{job_id:uuid}", operation_id="getJob", responses=_ASKED)
async def get_job(
    job_id: FromPath[UUID],
    jobs: NamedDependency[SkipValidation[Jobs]],
    job_views: NamedDependency[SkipValidation[views.JobViews]],
) -> views.JobDetailView:
    """Give one job with its attempts."""
    return job_views.detail(await jobs.get(job_id), await jobs.attempts(job_id))


@get("/jobs/{job_id:uuid}/events", operation_id="listJobEvents", responses=_ASKED)
async def list_events(
    job_id: FromPath[UUID],
    jobs: NamedDependency[SkipValidation[Jobs]],
    after: Annotated[int, QueryParameter(ge=0, le=_LARGEST_SEQUENCE, description="a sequence number")] = 0,
    limit: Limit = 200,
) -> views.EventListView:
    """List what happened to a job, in order."""
    await jobs.get(job_id)
    events = await jobs.events(job_id, after=after, limit=limit)
    last = events[-1].sequence if events else after
    return views.EventListView(items=[views.event(event) for event in events], last=last)


def _answer(job: Job, view: views.JobView, wait: int | None) -> Response[views.JobView]:
    headers = {"Location": f"/api/jobs/{job.id}"}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait}"
    return Response(view, status_code=200 if job.state.ended else 202, headers=headers)


def _said(request: Request[Any, Any, Any], body: str) -> str:
    """What an idempotency key stands for: the body, and the options where there are any.

    The body comes without defaults, so that a field added later does not make the same body another one.
    """
    options = sorted(request.query_params.multi_items())
    return f"{body}\n{options}" if options else body


def _key(owner: str, key: str | None, job_type: JobType, said: str) -> IdempotencyKey | None:
    if key is None:
        return None
    return IdempotencyKey(owner, key, hashlib.sha256(f"{job_type.name}\n{said}".encode()).hexdigest())


def _must_be_json(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    sent = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json" and not (sent.startswith("application/") and sent.endswith("+json")):
        raise HTTPException(
            status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            detail="send JSON with the header Content-Type: application/json",
        )
