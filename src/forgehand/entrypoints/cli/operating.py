"""`forgehand jobs cancel`, `replay`, `pause`, `resume`, `stats`, `purge` and `process`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from forgehand.application.jobs.operating import Selection
from forgehand.application.jobs.processing import Processed
from forgehand.domain.jobs import Job, JobState
from forgehand.entrypoints.cli.exits import ExitCode, of_kind
from forgehand.entrypoints.cli.printing import say, show, show_json, show_rows
from forgehand.entrypoints.worker import queues

if TYPE_CHECKING:
    from forgehand.application.ports.jobs import JobFilter
    from forgehand.container import Container


def _filter(container: Container, chosen: Selection) -> JobFilter:
    return chosen.read(container.job_types(), container.clock()())


async def to_cancel(container: Container, chosen: Selection) -> int:
    return await container.operate_jobs().to_cancel(_filter(container, chosen))


async def to_replay(container: Container, chosen: Selection) -> int:
    return await container.operate_jobs().to_replay(_filter(container, chosen))


async def to_purge(container: Container, chosen: Selection) -> int:
    return await container.operate_jobs().to_purge(_filter(container, chosen))


async def cancel_named(container: Container, ids: Sequence[UUID], *, as_json: bool) -> ExitCode:
    """Raise JobNotFound or AlreadyEnded for the first that cannot be cancelled."""
    jobs = [await container.operate_jobs().cancel_one(job_id) for job_id in ids]
    return _tell_jobs(container, jobs, as_json=as_json)


async def cancel_matching(container: Container, chosen: Selection, *, as_json: bool) -> ExitCode:
    changed = await container.operate_jobs().cancel(_filter(container, chosen))
    return _tell_count("cancelled", changed, as_json=as_json)


async def replay_named(container: Container, ids: Sequence[UUID], *, as_json: bool) -> ExitCode:
    """Raise JobNotFound or NotReplayable for the first that cannot be replayed."""
    jobs = [await container.operate_jobs().replay_one(job_id) for job_id in ids]
    return _tell_jobs(container, jobs, as_json=as_json)


async def replay_matching(container: Container, chosen: Selection, *, as_json: bool) -> ExitCode:
    changed = await container.operate_jobs().replay(_filter(container, chosen))
    return _tell_count("replayed", changed, as_json=as_json)


async def purge(container: Container, chosen: Selection, age: timedelta, *, as_json: bool) -> ExitCode:
    gone = await container.operate_jobs().purge(_filter(container, chosen), age)
    return _tell_count("purged", gone, as_json=as_json)


async def pause(container: Container, type_name: str) -> ExitCode:
    """Raise UnknownJobType."""
    name = container.job_types().named(type_name).name
    await container.operate_jobs().pause(name)
    say(f"{name} is paused: `forgehand jobs resume {name}` ends that.")
    return ExitCode.OK


async def resume(container: Container, type_name: str) -> ExitCode:
    """Raise UnknownJobType."""
    name = container.job_types().named(type_name).name
    await container.operate_jobs().resume(name)
    say(f"{name} is not paused.")
    return ExitCode.OK


async def stats(container: Container, *, as_json: bool) -> ExitCode:
    """A line for each type that is known or has jobs."""
    paused = await container.control().paused()
    counts = {(it.type, it.state): it.jobs for it in await container.control().counts()}
    names = sorted({*container.job_types().names, *paused, *(name for name, _ in counts)})
    if as_json:
        show_json(
            [
                {"type": name, "paused": name in paused}
                | {state.value: counts.get((name, state), 0) for state in JobState}
                for name in names
            ]
        )
        return ExitCode.OK
    rows = [
        (name, *(counts.get((name, state), 0) for state in JobState), "paused" if name in paused else "")
        for name in names
    ]
    show_rows(("type", *(state.value for state in JobState), ""), rows)
    return ExitCode.OK


async def workers(container: Container, *, as_json: bool) -> ExitCode:
    """A line for each worker, the oldest first."""
    found = await container.operate_jobs().workers()
    if as_json:
        show_json(
            [
                {
                    "label": it.worker.label,
                    "startedAt": it.started_at.isoformat(),
                    "seenAt": it.seen_at.isoformat(),
                    "alive": alive,
                    "running": it.running,
                }
                for it, alive in found
            ]
        )
        return ExitCode.OK
    if not found:
        say("No worker is running: start `forgehand worker` or `forgehand up`.")
    now = container.clock()()
    rows = [
        (it.worker.label, it.running, _ago(now - it.seen_at), "" if alive else "dead: its jobs are rescued")
        for it, alive in found
    ]
    show_rows(("worker", "running", "seen", ""), rows)
    return ExitCode.OK


def _ago(age: timedelta) -> str:
    return f"{max(0, round(age.total_seconds()))} s ago"


async def process_one(container: Container, job_id: UUID, *, as_json: bool) -> ExitCode:
    """Raise JobNotFound."""
    return _tell_processed(await container.process_jobs().one(job_id), as_json=as_json)


async def process_due(container: Container, limit: int, types: Sequence[str], *, as_json: bool) -> ExitCode:
    """Raise UnknownJobType."""
    done = await container.process_jobs().due(limit, queues(container, types))
    return _tell_processed(done, as_json=as_json)


def _tell_processed(done: Processed, *, as_json: bool) -> ExitCode:
    if as_json:
        jobs = [{"id": str(it.id), "type": it.type, "status": it.status} for it in done.jobs]
        show_json(asdict(done) | {"jobs": jobs})
    else:
        show_rows(("job", "type", "status"), [(it.id, it.type, it.status) for it in done.jobs])
        say(f"{done.message[0].upper()}{done.message[1:]}.")
    if done.success:
        return ExitCode.OK
    kinds = [it.problem for it in done.jobs if it.problem is not None]
    return of_kind(kinds[0]) if kinds else ExitCode.REFUSED


def _tell_jobs(container: Container, jobs: Sequence[Job], *, as_json: bool) -> ExitCode:
    now = container.clock()()
    if as_json:
        show_json([{"id": str(job.id), "type": job.type, "condition": job.condition(now)} for job in jobs])
    else:
        for job in jobs:
            show(f"{job.id} is {job.condition(now)}")
    return ExitCode.OK


def _tell_count(done: str, count: int, *, as_json: bool) -> ExitCode:
    if as_json:
        show_json({done: count})
    else:
        show(f"{count} {'job' if count == 1 else 'jobs'} {done}")
    return ExitCode.OK
