"""`forgehand schedules`: jobs that are submitted again and again, by the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from forgehand.domain.schedules import CatchUp, Overlap, Schedule
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import say, show, show_json, show_rows

if TYPE_CHECKING:
    from forgehand.container import Container

# Plain help: typer's rich one takes as long to import as the rest of the command line.
_PLAIN: Any = None

commands = typer.Typer(
    help="Submit jobs again and again, by the clock.", no_args_is_help=True, rich_markup_mode=_PLAIN
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]


@commands.command("list")
def list_schedules(as_json: Json = False) -> int:
    """List the schedules, by name."""
    return _run(lambda it: _list(it, as_json=as_json))


@commands.command("show")
def show_schedule(name: Name, as_json: Json = False) -> int:
    """Show a schedule, its next three times, and how often it was fired and missed."""

    async def act(it: Container) -> ExitCode:
        return _show(it, await it.schedules().get(name), as_json=as_json)

    return _run(act)


@commands.command("add")
def add_schedule(
    name: Name,
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="The job's type.")],
    cron: Annotated[
        str,
        typer.Option(help="Five cron fields, six with the seconds first, @daily and such, or 'every 5m'."),
    ],
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE…", help="The request's fields; lists and objects as JSON."),
    ] = None,
    zone: Annotated[str, typer.Option(help="The time zone of the cron fields, like Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        Overlap, typer.Option(help="While the last job has not ended: skip this time, or allow both.")
    ] = Overlap.SKIP,
    catch_up: Annotated[
        CatchUp,
        typer.Option(help="Of times that passed while no worker ran: skip them, fire once, or all (100)."),
    ] = CatchUp.ONCE,
    request: Annotated[
        Path | None, typer.Option("--input", allow_dash=True, help="The request as a JSON file; - is stdin.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Make a schedule, or change the one of that name."""
    from forgehand.application.jobs.scheduling import Definition
    from forgehand.entrypoints.cli import places, requesting, working

    parameters = requesting.read(request, fields or [])
    if isinstance(parameters.get("repo"), str):
        parameters["repo"] = places.place(parameters["repo"]).location
    definition = Definition(name, job_type, parameters, cron, zone, overlap, catch_up)

    async def act(it: Container) -> ExitCode:
        schedule = await it.keep_schedules().define(definition, by=working.caller())
        code = _show(it, schedule, as_json=as_json)
        say(f"It fires while a worker runs: `forgehand worker` or `forgehand up`. Its jobs: {schedule.tag}.")
        return code

    return _run(act)


@commands.command("remove")
def remove_schedule(name: Name) -> int:
    """Remove a schedule; its jobs stay."""

    async def act(it: Container) -> ExitCode:
        await it.schedules().remove(name)
        say(f"The schedule {name} is removed.")
        return ExitCode.OK

    return _run(act)


@commands.command("pause")
def pause_schedule(name: Name, as_json: Json = False) -> int:
    """Fire a schedule no more, until it is resumed."""

    async def act(it: Container) -> ExitCode:
        return _show(it, await it.schedules().pause(name, it.clock()()), as_json=as_json)

    return _run(act)


@commands.command("resume")
def resume_schedule(name: Name, as_json: Json = False) -> int:
    """Fire a paused schedule again, from now on."""

    async def act(it: Container) -> ExitCode:
        return _show(it, await it.keep_schedules().resume(name), as_json=as_json)

    return _run(act)


def _run(act: Callable[[Container], Awaitable[ExitCode]]) -> int:
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(act, settings_now())


async def _list(it: Container, *, as_json: bool) -> ExitCode:
    found = await it.schedules().all()
    if as_json:
        show_json([_json(it, schedule) for schedule in found])
        return ExitCode.OK
    heads = ("schedule", "type", "timing", "zone", "next", "fired", "missed")
    show_rows(heads, [_row(it, schedule) for schedule in found])
    if not found:
        say("There are no schedules: make one with `forgehand schedules add`.")
    return ExitCode.OK


def _row(it: Container, schedule: Schedule) -> tuple[object, ...]:
    upcoming = it.keep_schedules().upcoming(schedule, 1)
    said = _local(upcoming[0], schedule.zone) if upcoming else _resting(schedule)
    timing = (schedule.timing, schedule.zone)
    return schedule.name, schedule.type, *timing, said, schedule.fired, schedule.missed


def _show(it: Container, schedule: Schedule, *, as_json: bool) -> ExitCode:
    if as_json:
        show_json(_json(it, schedule))
        return ExitCode.OK
    lines = {
        "schedule": f"{schedule.name}, {schedule.type}, by {schedule.submitted_by}",
        "timing": f"{schedule.timing}, {schedule.zone}",
        "policies": f"overlap {schedule.overlap}, catch-up {schedule.catch_up}",
        **{f"request {name}": value for name, value in schedule.request.items()},
        "fired": f"{schedule.fired} times{_last(schedule.last_at, schedule.zone)}",
        "missed": f"{schedule.missed} times{_last(schedule.missed_at, schedule.zone)}",
    }
    for name, value in lines.items():
        show(f"{name + ':':<24} {value}")
    upcoming = it.keep_schedules().upcoming(schedule)
    for at in upcoming:
        show(f"{'next:':<24} {_local(at, schedule.zone)}")
    if not upcoming:
        show(f"{'next:':<24} {_resting(schedule)}")
    return ExitCode.OK


def _resting(schedule: Schedule) -> str:
    return "paused" if schedule.paused_at else "never"


def _last(moment: datetime | None, zone: str) -> str:
    return f", last {_local(moment, zone)}" if moment else ""


def _local(moment: datetime, zone: str) -> str:
    """In the schedule's own zone; in UTC where this machine does not know it."""
    try:
        moment = moment.astimezone(ZoneInfo(zone))
    except (LookupError, ValueError, OSError):
        zone = "UTC"
    return f"{moment:%a %Y-%m-%d %H:%M:%S %z} {zone}"


def _json(it: Container, schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "type": schedule.type,
        "request": dict(schedule.request),
        "timing": schedule.timing,
        "zone": schedule.zone,
        "overlap": schedule.overlap.value,
        "catchUp": schedule.catch_up.value,
        "submittedBy": schedule.submitted_by,
        "createdAt": schedule.created_at.isoformat(),
        "pausedAt": schedule.paused_at and schedule.paused_at.isoformat(),
        "upcoming": [at.isoformat() for at in it.keep_schedules().upcoming(schedule)],
        "lastAt": schedule.last_at and schedule.last_at.isoformat(),
        "lastJobId": schedule.last_job_id and str(schedule.last_job_id),
        "fired": schedule.fired,
        "missed": schedule.missed,
        "missedAt": schedule.missed_at and schedule.missed_at.isoformat(),
    }
