"""`forgehand schedules`: jobs that are submitted again and again, by the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgehand.domain.schedules import CatchUp, Overlap

if TYPE_CHECKING:
    from forgehand.container import Container
    from forgehand.entrypoints.cli.exits import ExitCode

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
    from forgehand.entrypoints.cli import timetable

    return _run(lambda it: timetable.show_all(it, as_json=as_json))


@commands.command("show")
def show_schedule(name: Name, as_json: Json = False) -> int:
    """Show a schedule, its next three times, and how often it was fired and missed."""
    from forgehand.entrypoints.cli import timetable

    async def act(it: Container) -> ExitCode:
        return timetable.show_one(it, await it.schedules().get(name), as_json=as_json)

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
    from forgehand.entrypoints.cli import places, requesting, timetable, working
    from forgehand.entrypoints.cli.printing import say

    parameters = requesting.read(request, fields or [])
    if isinstance(parameters.get("repo"), str):
        parameters["repo"] = places.place(parameters["repo"]).location
    definition = Definition(name, job_type, parameters, cron, zone, overlap, catch_up)

    async def act(it: Container) -> ExitCode:
        schedule = await it.keep_schedules().define(definition, by=working.caller())
        code = timetable.show_one(it, schedule, as_json=as_json)
        say(f"It fires while a worker runs: `forgehand worker` or `forgehand up`. Its jobs: {schedule.tag}.")
        return code

    return _run(act)


@commands.command("remove")
def remove_schedule(name: Name) -> int:
    """Remove a schedule; its jobs stay."""
    from forgehand.entrypoints.cli.exits import ExitCode
    from forgehand.entrypoints.cli.printing import say

    async def act(it: Container) -> ExitCode:
        await it.schedules().remove(name)
        say(f"The schedule {name} is removed.")
        return ExitCode.OK

    return _run(act)


@commands.command("pause")
def pause_schedule(name: Name, as_json: Json = False) -> int:
    """Fire a schedule no more, until it is resumed."""
    from forgehand.entrypoints.cli import timetable

    async def act(it: Container) -> ExitCode:
        return timetable.show_one(it, await it.schedules().pause(name, it.clock()()), as_json=as_json)

    return _run(act)


@commands.command("resume")
def resume_schedule(name: Name, as_json: Json = False) -> int:
    """Fire a paused schedule again, from now on."""
    from forgehand.entrypoints.cli import timetable

    async def act(it: Container) -> ExitCode:
        return timetable.show_one(it, await it.keep_schedules().resume(name), as_json=as_json)

    return _run(act)


def _run(act: Callable[[Container], Awaitable[ExitCode]]) -> int:
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(act, settings_now())
