"""Submitting jobs and running them here, with their progress shown."""

from __future__ import annotations

import asyncio
import getpass
import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from forgehand.application.jobs.terms import WrittenTerms
from forgehand.client import JobFailed
from forgehand.domain.jobs import EventKind, JobEvent, JobState, JsonObject
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.places import place
from forgehand.entrypoints.cli.printing import Shown, say, show, show_json, spinner

if TYPE_CHECKING:
    from forgehand.container import Container

_LOOK_EVERY = 0.2
_USUAL = WrittenTerms()


async def submit(
    container: Container, type_name: str, request: Mapping[str, Any], terms: WrittenTerms = _USUAL
) -> UUID:
    """Store a job in the name of whoever is logged in. Raise UnknownJobType or InvalidRequest."""
    container.job_types().named(type_name)
    read = terms.read(type_name, container.clock()())
    submission = await container.submit_job().submit(type_name, request, by=caller(), terms=read)
    return submission.job.id


async def queue_job(
    container: Container,
    type_name: str,
    request: Mapping[str, Any],
    terms: WrittenTerms = _USUAL,
    *,
    as_json: bool,
) -> ExitCode:
    """Submit only; print the job's id and say what to type next."""
    job_id = await submit(container, type_name, request, terms)
    if as_json:
        show_json({"jobId": str(job_id), "type": type_name})
    else:
        show(str(job_id))
    say(f"The job is queued. {how_to_go_on(type_name, request.get('repo'))}")
    say(f"To see how it goes: `forgehand jobs show {job_id}`.")
    return ExitCode.OK


def how_to_go_on(type_name: str, repo: object) -> str:
    """What to start so that queued jobs are run."""
    local = isinstance(repo, str) and place(repo).local
    allowed = f"FORGEHAND_LOCAL_ROOTS={shlex.quote(str(repo))} " if local else ""
    return f"If no worker runs yet: `{allowed}forgehand worker {type_name}`."


async def run_job(
    container: Container,
    type_name: str,
    request: Mapping[str, Any],
    terms: WrittenTerms = _USUAL,
    *,
    as_json: bool,
) -> ExitCode:
    """Run a job of any type here and print its result. Raise JobFailed."""
    job_id = await submit(container, type_name, request, terms)
    with spinner(f"running {type_name}") as shown:
        result = await completed(container, job_id, shown)
    if as_json:
        model = container.job_types().named(type_name).result.model_validate(result)
        show_json(model.model_dump(mode="json", by_alias=True))
    else:
        for name, value in result.items():
            show(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    say(f"Job {job_id} is completed.")
    return ExitCode.OK


async def completed(container: Container, job_id: UUID, shown: Shown) -> JsonObject:
    """Run the job here to its end and return its result. Raise JobFailed.

    Interrupted, the job stays in the queue, its attempt unspent.
    """
    container.model()  # a model that is not usable is said at once, not after three attempts
    running = asyncio.create_task(container.run_now().run(job_id))
    try:
        seen = 0
        while not running.done():
            await asyncio.wait({running}, timeout=_LOOK_EVERY)
            for event in await container.jobs().events(job_id, after=seen):
                seen = event.sequence
                shown(_words(event))
    except asyncio.CancelledError:
        say(f"Interrupted: job {job_id} stays in the queue, and the next worker runs it.")
        raise
    finally:
        running.cancel()
        await asyncio.wait({running})
    job = running.result()
    if job.state is not JobState.COMPLETED or job.result is None:
        raise JobFailed.of(job)
    return job.result


def _words(event: JobEvent) -> str:
    match event.kind:
        case EventKind.PROGRESS:
            return str(event.data.get("note") or f"{event.data.get('percent')} %")
        case EventKind.LOG:
            return str(event.data.get("message"))
        case EventKind.RETRYING:
            return f"trying again: {event.data.get('message', 'the attempt failed')}"
        case kind:
            return kind.value


def caller() -> str:
    """Whoever is logged in, as the submitter of jobs."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # a user without a name, as containers have
        return "cli:unknown"
