"""The commands: what they are called and take. Each imports what it needs when it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from forgehand.domain.access import Role
from forgehand.entrypoints.cli import jobs, schedules
from forgehand.entrypoints.cli.exits import MEANINGS

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code.value:>5}  {said}" for code, said in MEANINGS.items())
# Plain help: typer's rich one takes as long to import as the rest of the command line.
_PLAIN: Any = None

app = typer.Typer(
    help="Background work on your repositories.",
    rich_markup_mode=_PLAIN,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _group(name: str, about: str) -> typer.Typer:
    group = typer.Typer(help=about, rich_markup_mode=_PLAIN, no_args_is_help=True)
    app.add_typer(group, name=name)
    return group


app.add_typer(jobs.commands, name="jobs")
token = _group("token", "Make and revoke access tokens for the HTTP interface.")
db = _group("db", "Look after the database.")
app.add_typer(schedules.commands, name="schedules")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
Queue = Annotated[bool, typer.Option("--queue", help="Only submit; a worker runs it.")]
Host = Annotated[str | None, typer.Option(help="The address to listen on [FORGEHAND_HOST, 127.0.0.1].")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one [FORGEHAND_PORT, 8321].")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"forgehand {version('forgehand')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: ARG001 - its callback does it all
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error, print its traceback. May stand anywhere.")
    ] = False,
) -> None:
    """Background work on your repositories."""
    from forgehand.entrypoints.cli.debugging import debugging

    debugging.set(debug)


@app.command()
def docs(
    repo: Annotated[
        str, typer.Option(help="A folder, owner/name on GitHub, or a URL; a folder that exists wins.")
    ] = ".",
    pr: Annotated[int | None, typer.Option(min=1, help="The number of a merged pull request.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Instead: every pull request merged since this ISO date (UTC).")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Post it as one comment, updated in place on a rerun.")
    ] = False,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="The facts alone: no model is called.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it would cost.")
    ] = False,
    compare: Annotated[
        str | None, typer.Option(metavar="V1:V2", help="Print the difference between two stored versions.")
    ] = None,
    queue: Queue = False,
    as_json: Json = False,
) -> int:
    """Document a merged pull request. Its facts and, where a model is configured, what changed and why."""
    if (pr is None) == (since is None):
        raise typer.BadParameter("name a pull request with --pr N, or many with --since DATE")
    if sum([dry_run, queue, compare is not None]) > 1:
        raise typer.BadParameter("--dry-run, --queue and --compare exclude one another")
    if since is not None and (dry_run or compare is not None):
        raise typer.BadParameter("--since goes with neither --dry-run nor --compare: name one with --pr N")
    started = None if since is None else _date(since)
    versions = None if compare is None else _versions(compare)
    from forgehand.entrypoints.cli import documenting as it
    from forgehand.entrypoints.cli.running import locally, with_container

    location, settings = locally(repo)
    wish = it.Wish(location, publish=publish, use_model=not no_model, json=as_json)
    if started is not None:
        many = it.queue_since if queue else it.document_since
        return with_container(lambda container: many(container, wish, started), settings)
    if versions is not None:
        return with_container(lambda container: it.compare(container, wish, pr or 0, versions), settings)
    one = it.plan_one if dry_run else it.queue_one if queue else it.document_one
    return with_container(lambda container: one(container, wish, pr or 0), settings)


@app.command("run")
def run_job(
    job_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="The job's type.")] = None,
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE…", help="The request's fields; lists and objects as JSON."),
    ] = None,
    request: Annotated[
        Path | None, typer.Option("--input", allow_dash=True, help="The request as a JSON file; - is stdin.")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Say which types there are, and their fields.")
    ] = False,
    queue: Queue = False,
    priority: Annotated[str | None, typer.Option(help="urgent, high, normal or low.")] = None,
    delay: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before that time has passed: 90, 5m, 2h, 1d.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="WHEN", help="Not before: 2030-05-31T12:00:00Z.")] = None,
    unique_key: Annotated[
        str | None, typer.Option(help="While a job of the type has this key, that one is meant.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, max=100, help="How often it is tried.")] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long an attempt may take: 90, 5m, 2h.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    after: Annotated[
        list[str] | None, typer.Option(metavar="JOB", help="Wait for this job; may be repeated.")
    ] = None,
    on_parent_failure: Annotated[
        str | None, typer.Option(help="fail or release: what if a job that it waits for fails.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Run a job of any type, now and here, or queue it. What has to wait is queued."""
    from forgehand.application.jobs.terms import WrittenTerms
    from forgehand.entrypoints.cli import requesting, working
    from forgehand.entrypoints.cli.running import locally, settings_now, with_container

    if listed:
        return requesting.list_types(as_json=as_json)
    if job_type is None:
        raise typer.BadParameter("name a job type, or see them with --list")
    parameters = requesting.read(request, fields or [])
    settings = settings_now()
    if isinstance(parameters.get("repo"), str):
        parameters["repo"], settings = locally(parameters["repo"])
    terms = WrittenTerms(
        priority, at, delay, max_attempts, timeout, unique_key, tag or (), after or (), on_parent_failure
    )
    act = working.queue_job if queue or at or delay or after else working.run_job
    return with_container(
        lambda container: act(container, job_type, parameters, terms, as_json=as_json), settings
    )


@app.command()
def demo() -> int:
    """See it work on a sample repository. A job goes through server, queue and worker to its document."""
    from forgehand.entrypoints.cli.demo import running as it
    from forgehand.entrypoints.cli.running import settings_now, with_container
    from forgehand.entrypoints.cli.serving import alone_in

    settings = it.demo_settings(settings_now())
    with alone_in(settings.home):
        sample = it.prepare(settings)
        return with_container(lambda container: it.demo(container, sample), settings)


@app.command()
def up(host: Host = None, port: Port = None) -> int:
    """Serve HTTP and run jobs in one process. Prints the address, and a token that lives as long as it."""
    from forgehand.entrypoints.cli import serving
    from forgehand.entrypoints.cli.running import settings_now, with_container

    settings = settings_now(host=host, port=port)
    with serving.alone_in(settings.home):
        return with_container(serving.up, settings, long_running=True)


@app.command()
def serve(host: Host = None, port: Port = None) -> int:
    """Serve HTTP alone. `forgehand worker` processes with the same database run the jobs."""
    from forgehand.entrypoints.cli import serving
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(serving.serve_http, settings_now(host=host, port=port), long_running=True)


@app.command()
def worker(
    types: Annotated[
        list[str] | None, typer.Argument(metavar="TYPE…", help="Job types [WORKER_TYPE, all].")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many processes [FORGEHAND_PROCESSES, 1].")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Jobs at once in each process [FORGEHAND_CONCURRENCY, 20]."),
    ] = None,
    supervised: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> int:
    """Run jobs. SIGTERM or Ctrl-C lets them finish for FORGEHAND_GRACE_SECONDS, then hands them back.

    Handed back, a job is pending again and no attempt is spent. It ends with 0, at most five seconds
    after the grace; a second signal ends it at once, and others rescue its jobs.

    With two processes or more it supervises them: one that dies is replaced (at once, later after a
    pause of up to 5 s if that goes on), none outlives it, and a wrong setting ends them all. One
    process is the worker itself, for systemd, Docker or the like to restart.

    How many jobs of one type run at once is the type's own policy (FORGEHAND_POLICIES).
    """
    from forgehand.entrypoints.cli.running import settings_now, with_container

    settings = settings_now(processes=processes, concurrency=concurrency)
    if supervised is None and settings.processes > 1:
        from forgehand.entrypoints.cli.supervising import supervise

        return supervise(settings, types or [])
    from forgehand.entrypoints.cli import serving
    from forgehand.entrypoints.worker.bond import Bond

    bond = None if supervised is None else Bond(supervised)
    return with_container(
        lambda container: serving.work_on(container, types or [], bond), settings, long_running=True
    )


@app.command()
def doctor(as_json: Json = False) -> int:
    """Say what is configured and what is missing. And what to do; ends with 7 where it cannot be used."""
    from forgehand.entrypoints.cli import doctor as it
    from forgehand.entrypoints.cli.running import run, settings_now

    return run(it.diagnose(settings_now(), as_json=as_json))


@app.command()
def openapi() -> int:
    """Print the HTTP interface as OpenAPI."""
    from forgehand.entrypoints.cli import serving
    from forgehand.entrypoints.cli.running import settings_now, with_container

    # In memory: what is described does not depend on any database, so none is touched.
    return with_container(serving.describe, settings_now(database_url="sqlite://"))


Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose or what for: it names the token.")]


@token.command("create")
def create_token(
    name: Name,
    role: Annotated[
        Role, typer.Option(help="viewer reads, operator also submits, admin may do all.")
    ] = Role.VIEWER,
    as_json: Json = False,
) -> int:
    """Make a token and print it, this once."""
    from forgehand.entrypoints.cli import tokens
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(lambda it: tokens.create_token(it, name, role, as_json=as_json), settings_now())


@token.command("list")
def list_tokens(as_json: Json = False) -> int:
    """List the tokens that were made, the revoked ones too."""
    from forgehand.entrypoints.cli import tokens
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(lambda it: tokens.list_tokens(it, as_json=as_json), settings_now())


@token.command("revoke")
def revoke_token(name: Name) -> int:
    """End a token at once, in every process."""
    from forgehand.entrypoints.cli import tokens
    from forgehand.entrypoints.cli.running import settings_now, with_container

    return with_container(lambda it: tokens.revoke_token(it, name), settings_now())


@db.command("upgrade")
def upgrade_database() -> int:
    """Bring the database to the schema that this version needs."""
    from forgehand.entrypoints.cli import database
    from forgehand.entrypoints.cli.running import run, settings_now

    return run(database.upgrade_database(settings_now()))


def _date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date: write it as 2024-05-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _versions(text: str) -> tuple[int, int]:
    old, _, new = text.partition(":")
    if not (old.isascii() and old.isdecimal() and new.isascii() and new.isdecimal()):
        raise typer.BadParameter(f"{text!r} are not two versions: write them as 1:2")
    return int(old), int(new)
