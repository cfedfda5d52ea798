"""What happens to jobs, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, HeaderParameter, QueryParameter, SkipValidation
from litestar.response import ServerSentEvent, ServerSentEventMessage

from forgehand.application.jobs.watching import Watching
from forgehand.application.ports.jobs import Jobs
from forgehand.domain.jobs import JobEvent
from forgehand.entrypoints.http import views
from forgehand.entrypoints.http.front import ASKED_BY_HEAD
from forgehand.entrypoints.http.openapi import problem_responses
from forgehand.entrypoints.http.problems import InvalidCursor

_LARGEST_SEQUENCE = 2**63 - 1
_RECONNECT_MS = 2000
_HEARTBEAT = ServerSentEventMessage(data=None, comment="still here")

LastId: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID", max_length=64, description="the id of the last event seen, to go on from there"
    ),
]
_STREAM = {
    200: ResponseSpec(
        str,
        generate_examples=False,
        media_type="text/event-stream",
        description="Each event has its kind as name and its line of history as JSON",
    )
}
_REFUSED = problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)


@get(
    "/jobs/{job_id:uuid}/stream",
    operation_id="streamJob",
    responses={
        **_STREAM,
        **_REFUSED,
        204: ResponseSpec(None, description="The job has ended and all was told: do not ask again"),
    },
)
async def stream_job(
    job_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    jobs: NamedDependency[SkipValidation[Jobs]],
    watching: NamedDependency[SkipValidation[Watching]],
    last_event_id: LastId = None,
    after: Annotated[
        int | None, QueryParameter(ge=0, le=_LARGEST_SEQUENCE, description="the same as Last-Event-ID")
    ] = None,
) -> Response[Any]:
    """Follow a job from its first event, or from the last one seen, to its end."""
    start = _sequence(last_event_id) if last_event_id else after or 0
    ended = (await jobs.get(job_id)).state.ended
    if ended and start and not await jobs.events(job_id, after=start, limit=1):
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    return _response(request, _of_job(watching, job_id, start))


@get("/stream", operation_id="streamAll", responses={**_STREAM, **_REFUSED})
async def stream_all(
    request: Request[Any, Any, Any],
    jobs: NamedDependency[SkipValidation[Jobs]],
    watching: NamedDependency[SkipValidation[Watching]],
    last_event_id: LastId = None,
    after: Annotated[
        str | None, QueryParameter(max_length=64, description="the same as Last-Event-ID")
    ] = None,
) -> Response[Any]:
    """Follow all jobs from now on, or from the last event seen, for ever."""
    start = last_event_id or after
    try:
        if start:
            await jobs.stream(after=start, limit=1)
    except ValueError as error:
        raise InvalidCursor("Last-Event-ID is none of ours: leave it out to start from now") from error
    return _response(request, _of_all(watching, start or await jobs.tail()))


async def _of_job(watching: Watching, job_id: UUID, after: int) -> AsyncIterator[ServerSentEventMessage]:
    yield ServerSentEventMessage(data=None, retry=_RECONNECT_MS)
    async for event in watching.job(job_id, after):
        yield _HEARTBEAT if event is None else _message(event, str(event.sequence))


async def _of_all(watching: Watching, after: str) -> AsyncIterator[ServerSentEventMessage]:
    # An id before the first event: who is cut off until then misses nothing.
    yield ServerSentEventMessage(data=None, id=after, retry=_RECONNECT_MS)
    async for streamed in watching.all(after):
        yield _HEARTBEAT if streamed is None else _message(streamed.event, streamed.position)


def _message(event: JobEvent, position: str) -> ServerSentEventMessage:
    told = views.streamed_event(event).model_dump(mode="json", by_alias=True)
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEventMessage(data=data, event=event.kind.value, id=position)


def _response(
    request: Request[Any, Any, Any], events: AsyncIterator[ServerSentEventMessage]
) -> Response[Any]:
    if request.scope.get(ASKED_BY_HEAD):
        return Response(None, status_code=HTTPStatus.OK, media_type="text/event-stream")
    return ServerSentEvent(events)


def _sequence(text: str) -> int:
    """Raise InvalidCursor."""
    if not (text.isascii() and text.isdecimal()) or int(text[:20]) > _LARGEST_SEQUENCE:
        raise InvalidCursor("Last-Event-ID is none of ours: leave it out to start at the first event")
    return int(text[:20])


ROUTES = (stream_job, stream_all)
