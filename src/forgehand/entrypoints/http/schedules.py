"""Schedules."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from forgehand.application.jobs.job_type import UnknownJobType
from forgehand.application.jobs.scheduling import Definition, KeepSchedules
from forgehand.domain.access import AccessToken
from forgehand.domain.schedules import CatchUp, Overlap, Schedule
from forgehand.entrypoints.http import views
from forgehand.entrypoints.http.openapi import problem_responses

_ASKED = problem_responses(HTTPStatus.UNAUTHORIZED)
_ASKED_FOR_ONE = problem_responses(HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)
_CHANGED = problem_responses(
    HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND
)
_DEFINED = problem_responses(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)


class ScheduleBody(BaseModel):
    """What is to be submitted when."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    type: str = Field(description="the job's type")
    timing: str = Field(
        description="five cron fields, six with the seconds first, `@daily` and such, or `every 5m`"
    )
    request: dict[str, Any] = Field(default={}, description="the job's request")
    zone: str = Field(default="UTC", description="a time zone like Europe/Berlin")
    overlap: Overlap = Field(default=Overlap.SKIP, description="while the last job has not ended")
    catch_up: CatchUp = Field(default=CatchUp.ONCE, description="of times that passed during an outage")


@get("/schedules", operation_id="listSchedules", responses=_ASKED)
async def list_schedules(
    keep_schedules: NamedDependency[SkipValidation[KeepSchedules]],
) -> views.ScheduleListView:
    """List all schedules, by name."""
    found = await keep_schedules.schedules.all()
    return views.ScheduleListView(items=[_view(keep_schedules, it) for it in found])


@get("/schedules/{name:str}", operation_id="getSchedule", responses=_ASKED_FOR_ONE)
async def get_schedule(
    name: FromPath[str], keep_schedules: NamedDependency[SkipValidation[KeepSchedules]]
) -> views.ScheduleView:
    """Give one schedule."""
    return _view(keep_schedules, await keep_schedules.schedules.get(name))


@put("/schedules/{name:str}", operation_id="putSchedule", responses=_DEFINED)
async def put_schedule(
    name: FromPath[str],
    data: JSONBody[ScheduleBody],
    request: Request[AccessToken, AccessToken, Any],
    keep_schedules: NamedDependency[SkipValidation[KeepSchedules]],
) -> views.ScheduleView:
    """Make a schedule, or change the one of that name."""
    definition = Definition(
        name=name,
        type_name=data.type,
        parameters=data.request,
        timing=data.timing,
        zone=data.zone,
        overlap=data.overlap,
        catch_up=data.catch_up,
    )
    return _view(keep_schedules, await keep_schedules.define(definition, by=request.user.name))


@delete("/schedules/{name:str}", operation_id="deleteSchedule", responses=_CHANGED)
async def delete_schedule(
    name: FromPath[str], keep_schedules: NamedDependency[SkipValidation[KeepSchedules]]
) -> None:
    """Remove a schedule; its jobs stay."""
    await keep_schedules.schedules.remove(name)


@post(
    "/schedules/{name:str}/pause",
    operation_id="pauseSchedule",
    status_code=HTTPStatus.OK,
    responses=_CHANGED,
)
async def pause_schedule(
    name: FromPath[str], keep_schedules: NamedDependency[SkipValidation[KeepSchedules]]
) -> views.ScheduleView:
    """Fire a schedule no more, until it is resumed."""
    return _view(keep_schedules, await keep_schedules.schedules.pause(name, keep_schedules.clock()))


@post(
    "/schedules/{name:str}/resume",
    operation_id="resumeSchedule",
    status_code=HTTPStatus.OK,
    responses=_CHANGED,
)
async def resume_schedule(
    name: FromPath[str], keep_schedules: NamedDependency[SkipValidation[KeepSchedules]]
) -> views.ScheduleView:
    """Fire a paused schedule again, from now on."""
    return _view(keep_schedules, await keep_schedules.resume(name))


ROUTES = (list_schedules, get_schedule, put_schedule, delete_schedule, pause_schedule, resume_schedule)


def _view(keep: KeepSchedules, schedule: Schedule) -> views.ScheduleView:
    same = views.ScheduleView.model_fields.keys() & set(Schedule.__dataclass_fields__)
    told: dict[str, Any] = {name: getattr(schedule, name) for name in same}
    told |= {"request": _on_the_wire(keep, schedule), "upcoming": list(keep.upcoming(schedule))}
    return views.ScheduleView(**told)


def _on_the_wire(keep: KeepSchedules, schedule: Schedule) -> dict[str, Any]:
    """By the request's aliases; what no longer fits its type is shown as it lies."""
    try:
        model = keep.submit_job.job_types.named(schedule.type).request
        return model.model_validate(schedule.request).model_dump(mode="json", by_alias=True)
    except (UnknownJobType, ValidationError):
        return dict(schedule.request)
