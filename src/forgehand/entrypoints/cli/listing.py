"""`forgehand jobs`: what is queued, what ran, and how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic.alias_generators import to_camel

from forgehand.application.jobs.operating import Selection
from forgehand.application.untrusted import one_line
from forgehand.domain.jobs import Attempt, EventKind, Job, JobEvent
from forgehand.entrypoints.cli.exits import ExitCode
from forgehand.entrypoints.cli.printing import say, show, show_json, show_json_line, show_rows

if TYPE_CHECKING:
    from forgehand.container import Container

_PAGE = 100
_WIDEST = 500


async def list_jobs(container: Container, chosen: Selection, limit: int, *, as_json: bool) -> ExitCode:
    """The newest first. Raise UnknownJobType or InvalidSelection."""
    wanted = chosen.read(container.job_types(), container.clock()())
    jobs: list[Job] = []
    cursor = None
    while len(jobs) < limit:
        page = await container.jobs().page(wanted, limit=min(_PAGE, limit - len(jobs)), cursor=cursor)
        jobs += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    now = container.clock()()
    if as_json:
        show_json([_job_json(job, now) for job in jobs])
        return ExitCode.OK
    heads = ("job", "type", "condition", "progress", "submitted (UTC)", "note or problem")
    show_rows(heads, [_row(job, now) for job in jobs])
    if not jobs:
        say("There are no such jobs.")
    elif cursor is not None:
        say(f"There are more than {limit}: use --limit.")
    return ExitCode.OK


def _row(job: Job, now: datetime) -> tuple[object, ...]:
    said = f"{job.problem.kind}: {job.problem.message}" if job.problem else job.note or ""
    return job.id, job.type, job.condition(now), f"{job.progress} %", _time(job.created_at), said


async def show_job(container: Container, job_id: UUID, *, as_json: bool) -> ExitCode:
    """The job, its attempts and its calls to models. Raise JobNotFound."""
    job = await container.jobs().get(job_id)
    attempts = await container.jobs().attempts(job_id)
    calls = [event async for event in _events(container, job_id) if event.kind is EventKind.MODEL_CALL]
    now = container.clock()()
    if as_json:
        show_json(
            _job_json(job, now)
            | {"attempts": [_attempt_json(each) for each in attempts]}
            | {"modelCalls": [_call_json(each) for each in calls]}
        )
        return ExitCode.OK
    _show_job(job, now)
    for attempt in attempts:
        ended = f"{_time(attempt.ended_at)} {attempt.outcome}" if attempt.ended_at else "running"
        why = f": {attempt.problem.kind}: {attempt.problem.message}" if attempt.problem else ""
        _line(f"attempt {attempt.number}", f"{_time(attempt.started_at)} on {attempt.worker}, {ended}{why}")
    for call in calls:
        _line("model call", _call_words(call))
    return ExitCode.OK


def _show_job(job: Job, now: datetime) -> None:
    _line("job", f"{job.id}, {job.type}, by {job.submitted_by}")
    _line("condition", f"{job.condition(now)}, {job.progress} %{f', {job.note}' if job.note else ''}")
    _line("submitted", f"{_time(job.created_at)} (UTC), {job.attempts} of {job.max_attempts} attempts")
    for name, value in job.request.items():
        _line(f"request {name}", value)
    for name, value in (job.result or {}).items():
        _line(f"result {name}", value)
    if job.problem:
        _line("problem", f"{job.problem.kind}: {job.problem.message}")


async def show_log(
    container: Container, job_id: UUID, after: int, *, follow: bool, as_json: bool
) -> ExitCode:
    """The events after number `after`, one a line; followed, until the job has ended. Raise JobNotFound."""
    await container.jobs().get(job_id)
    watching = container.watching()
    async with watching.opened():
        events = watching.job(job_id, after) if follow else _events(container, job_id, after)
        async for event in events:
            if event is not None:
                _show_event(event, as_json=as_json)
    return ExitCode.OK


async def _events(container: Container, job_id: UUID, after: int = 0) -> AsyncIterator[JobEvent]:
    while events := await container.jobs().events(job_id, after=after):
        for event in events:
            yield event
        after = events[-1].sequence


def _show_event(event: JobEvent, *, as_json: bool) -> None:
    if as_json:
        show_json_line(event_json(event))
    else:
        show(event_line(event))


def event_line(event: JobEvent) -> str:
    """An event in one line for a person."""
    words = _call_words(event) if event.kind is EventKind.MODEL_CALL else _event_words(event)
    return f"{event.sequence:>4}  {_time(event.at)}  {event.kind:<10} {one_line(words, _WIDEST)}".rstrip()


def _event_words(event: JobEvent) -> str:
    data = event.data
    match event.kind:
        case EventKind.PROGRESS:
            counters = data.get("counters") or {}
            return f"{data.get('percent')} % {data.get('note') or ''} {_pairs(counters)}"
        case EventKind.LOG:
            fields = {key: value for key, value in data.items() if key not in {"level", "message"}}
            return f"{data.get('level')}: {data.get('message')} {_pairs(fields)}"
        case _:
            return _pairs(
                {key: value for key, value in data.items() if key != "detail" and value is not None}
            )


def _call_words(event: JobEvent) -> str:
    data = event.data
    used = f"{data.get('input_tokens')} tokens in, {data.get('output_tokens')} out"
    cost = data.get("cost")
    price = "price unknown" if cost is None else f"${cost / 1_000_000:.4f}"
    said = f"{data.get('model')} {data.get('state')}"
    return said if data.get("state") == "asked" else f"{said}, {used}, {price}"


def _pairs(fields: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in fields.items())


def _job_json(job: Job, now: datetime) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "type": job.type,
        "state": job.state.value,
        "condition": job.condition(now),
        "progress": job.progress,
        "note": job.note,
        "submittedBy": job.submitted_by,
        "createdAt": job.created_at.isoformat(),
        "runAt": job.run_at.isoformat(),
        "startedAt": job.started_at and job.started_at.isoformat(),
        "finishedAt": job.finished_at and job.finished_at.isoformat(),
        "attemptCount": job.attempts,
        "maxAttempts": job.max_attempts,
        "priority": job.priority.name.lower(),
        "tags": list(job.tags),
        "uniqueKey": job.unique_key,
        "request": dict(job.request),
        "result": job.result and dict(job.result),
        "problem": job.problem and asdict(job.problem),
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "startedAt": attempt.started_at.isoformat(),
        "endedAt": attempt.ended_at and attempt.ended_at.isoformat(),
        "outcome": attempt.outcome and attempt.outcome.value,
        "problem": attempt.problem and asdict(attempt.problem),
    }


def event_json(event: JobEvent) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "kind": event.kind.value,
        "data": dict(event.data),
    }


def _call_json(event: JobEvent) -> dict[str, Any]:
    called = {to_camel(key): value for key, value in event.data.items()}
    return {"sequence": event.sequence, "at": event.at.isoformat(), **called}


def _line(name: str, value: object) -> None:
    show(f"{name + ':':<24} {one_line(str(value), _WIDEST)}")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
