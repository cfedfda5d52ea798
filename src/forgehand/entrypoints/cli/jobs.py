"""`forgehand jobs`: what its commands are called and take. Each imports what it needs when it is called."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from forgehand.application.jobs.operating import Selection
    from forgehand.container import Container

_PLAIN: Any = None
commands = typer.Typer(
    help="See what is queued, what ran and how it went; cancel, replay, pause and purge.",
    no_args_is_help=True,
    rich_markup_mode=_PLAIN,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Of this type; may be repeated.")]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="pending, running, completed, failed, cancelled, or waiting, scheduled, retrying, cancelling, "
        "dead; may be repeated.",
    ),
]
Tag = Annotated[str | None, typer.Option(help="With this tag.")]
By = Annotated[str | None, typer.Option(help="Submitted by this token or person.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB…", help="The jobs' ids.")]
All = Annotated[bool, typer.Option("--all", help="All that match the options, after a question.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="The job type.")]


@commands.command("list")
def list_jobs(
    job_type: Types = None,
    state: States = None,
    tag: Tag = None,
    by: By = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> int:
    """List jobs, the newest first."""
    from forgehand.entrypoints.cli import listing

    chosen = _selection(None, job_type, state, tag, by)
    return _run(lambda it: listing.list_jobs(it, chosen, limit, as_json=as_json))


@commands.command("show")
def show_job(job: JobId, as_json: Json = False) -> int:
    """Show a job with its attempts and its calls to models."""
    from forgehand.entrypoints.cli import listing

    job_id = _parsed(job)
    return _run(lambda it: listing.show_job(it, job_id, as_json=as_json))


@commands.command("logs")
def show_log(
    job: JobId,
    after: Annotated[int, typer.Option(min=0, help="Only the events after this number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: Json = False,
) -> int:
    """Print the events of a job, one a line."""
    from forgehand.entrypoints.cli import listing

    job_id = _parsed(job)
    return _run(lambda it: listing.show_log(it, job_id, after, follow=follow, as_json=as_json))


@commands.command("watch")
def watch(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job's id; none: all jobs.")] = None,
    as_json: Json = False,
) -> int:
    """Watch a job to its end, whose exit code is the job's; or all jobs, until Ctrl-C."""
    from forgehand.entrypoints.cli import watching

    if job is None:
        return _run(lambda it: watching.watch_all(it, as_json=as_json))
    job_id = _parsed(job)
    return _run(lambda it: watching.watch_one(it, job_id, as_json=as_json))


@commands.command("cancel")
def cancel(
    job: JobIds = None,
    job_type: Types = None,
    state: States = None,
    tag: Tag = None,
    by: By = None,
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Cancel jobs: pending ones at once, running ones as soon as they let themselves be cancelled."""
    from forgehand.entrypoints.cli import operating as it

    chosen = _selection(job, job_type, state, tag, by)
    if _named(chosen, everything=everything):
        return _run(lambda at: it.cancel_named(at, chosen.ids, as_json=as_json))
    _confirm("cancel", _run(lambda at: it.to_cancel(at, chosen)), yes=yes)
    return _run(lambda at: it.cancel_matching(at, chosen, as_json=as_json))


@commands.command("retry")
def retry(job: JobId, as_json: Json = False) -> int:
    """Start a failed or cancelled job anew, with all its attempts."""
    from forgehand.entrypoints.cli import operating as it

    job_id = _parsed(job)
    return _run(lambda at: it.replay_named(at, [job_id], as_json=as_json))


@commands.command("replay")
def replay(
    job: JobIds = None,
    job_type: Types = None,
    state: States = None,
    tag: Tag = None,
    by: By = None,
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Start failed and cancelled jobs anew. `--all` alone means those that are dead."""
    from forgehand.entrypoints.cli import operating as it

    chosen = _selection(job, job_type, state or (["dead"] if everything else None), tag, by)
    if _named(chosen, everything=everything):
        return _run(lambda at: it.replay_named(at, chosen.ids, as_json=as_json))
    _confirm("replay", _run(lambda at: it.to_replay(at, chosen)), yes=yes)
    return _run(lambda at: it.replay_matching(at, chosen, as_json=as_json))


@commands.command("pause")
def pause(job_type: TypeName) -> int:
    """Start no more jobs of a type, in any process; running ones go on."""
    from forgehand.entrypoints.cli import operating as it

    return _run(lambda at: it.pause(at, job_type))


@commands.command("resume")
def resume(job_type: TypeName) -> int:
    """Start jobs of a paused type again."""
    from forgehand.entrypoints.cli import operating as it

    return _run(lambda at: it.resume(at, job_type))


@commands.command("stats")
def stats(as_json: Json = False) -> int:
    """Count the jobs of each type and state, and say which types are paused."""
    from forgehand.entrypoints.cli import operating as it

    return _run(lambda at: it.stats(at, as_json=as_json))


@commands.command("workers")
def workers(as_json: Json = False) -> int:
    """Say which workers there are, when each was last seen, and how many jobs it runs."""
    from forgehand.entrypoints.cli import operating as it

    return _run(lambda at: it.workers(at, as_json=as_json))


@commands.command("purge")
def purge(
    job: JobIds = None,
    job_type: Types = None,
    state: States = None,
    tag: Tag = None,
    by: By = None,
    older_than: Annotated[
        str, typer.Option(help="Only those that ended so long ago: 90, 5m, 2h, 1d.", metavar="TIME")
    ] = "0",
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Delete ended jobs with all that is kept of them. Policies do so by themselves in time."""
    from forgehand.application.jobs.terms import duration
    from forgehand.entrypoints.cli import operating as it

    try:
        age = duration(older_than)
    except ValueError as error:
        raise typer.BadParameter(f"--older-than: {error}") from None
    chosen = _selection(job, job_type, state, tag, by)
    if not _named(chosen, everything=everything):
        _confirm("purge up to", _run(lambda at: it.to_purge(at, chosen)), yes=yes)
    return _run(lambda at: it.purge(at, chosen, age, as_json=as_json))


@commands.command("process")
def process(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; none: those due.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many jobs.")] = 10,
    job_type: Types = None,
    as_json: Json = False,
) -> int:
    """Do the jobs that are due here and now, one attempt each, and end: a cron job in place of a worker."""
    from forgehand.entrypoints.cli import operating as it

    if job is not None:
        job_id = _parsed(job)
        return _run(lambda at: it.process_one(at, job_id, as_json=as_json))
    return _run(lambda at: it.process_due(at, limit, job_type or [], as_json=as_json))


def _run(work: Callable[[Container], Awaitable[int]]) -> int:
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(work, settings_now())


def _parsed(job_id: str) -> UUID:
    """Raise typer.BadParameter."""
    try:
        return UUID(job_id)
    except ValueError:
        raise typer.BadParameter(f"{job_id!r} is not a job's id: `forgehand jobs list` shows them") from None


def _selection(
    jobs: list[str] | None, types: list[str] | None, states: list[str] | None, tag: str | None, by: str | None
) -> Selection:
    from forgehand.application.jobs.operating import Selection

    return Selection(types or (), states or (), tag, by, [_parsed(job) for job in jobs or ()])


def _named(chosen: Selection, *, everything: bool) -> bool:
    """Whether jobs are named by id. Raise typer.BadParameter where it is not clear which are meant."""
    if chosen.ids and (everything or chosen.types or chosen.states or chosen.tag or chosen.submitted_by):
        raise typer.BadParameter("name jobs by their ids, or choose them with options and --all: not both")
    if not chosen.ids and not everything:
        raise typer.BadParameter("name jobs by their ids, or say --all (with --type, --state, --tag, --by)")
    return bool(chosen.ids)


def _confirm(deed: str, count: int, *, yes: bool) -> None:
    """Ask once, with the number. Raise typer.BadParameter where nobody can answer, typer.Exit for a no."""
    if yes or count == 0:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"this would {deed} {_jobs(count)}: add --yes to do it")
    if not typer.confirm(f"{deed.capitalize()} {_jobs(count)}?", err=True):
        raise typer.Exit(code=0)


def _jobs(count: int) -> str:
    return f"{count} {'job' if count == 1 else 'jobs'}"
