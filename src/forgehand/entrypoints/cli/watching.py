"""`forgehand jobs watch`: one job to its end, or all of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from forgehand.application.ports.jobs import JobFilter, StreamedEvent
from forgehand.application.untrusted import one_line
from forgehand.domain.jobs import EventKind, Job, JobEvent, JobState
from forgehand.entrypoints.cli.exits import ExitCode, of_kind
from forgehand.entrypoints.cli.listing import event_json, event_line
from forgehand.entrypoints.cli.printing import say, show, show_json_line

if TYPE_CHECKING:
    from rich.table import Table

    from forgehand.container import Container

_REFRESH = 1.0
_ROWS = 20
_WIDEST = 60


class _Told(Protocol):
    def __call__(self, event: JobEvent, /) -> None: ...


async def watch_one(container: Container, job_id: UUID, *, as_json: bool) -> ExitCode:
    """Its events until it has ended; the exit code is the job's. Raise JobNotFound."""
    job = await container.jobs().get(job_id)
    telling = _as_json() if as_json else _bar(job) if sys.stdout.isatty() else _lines()
    watching = container.watching()
    with telling as tell:
        async with watching.opened():
            async for event in watching.job(job_id):
                if event is not None:
                    tell(event)
    job = await container.jobs().get(job_id)
    if not as_json:
        say(f"Job {job_id} is {job.state}{f': {job.problem.message}' if job.problem else ''}.")
    return _code(job)


async def watch_all(container: Container, *, as_json: bool) -> ExitCode:
    """Until it is interrupted: what happens from now on, one event a line; on a terminal a live table."""
    if not as_json and sys.stdout.isatty():
        await _live(container)
    after = await container.jobs().tail()
    watching = container.watching()
    async with watching.opened():
        async for streamed in watching.all(after):
            if streamed is not None:
                _show(streamed, as_json=as_json)
    return ExitCode.OK


def _show(streamed: StreamedEvent, *, as_json: bool) -> None:
    event = streamed.event
    if as_json:
        show_json_line({"position": streamed.position, "jobId": str(event.job_id)} | event_json(event))
    else:
        show(f"{event.job_id}  {event_line(event)}")


def _code(job: Job) -> ExitCode:
    match job.state:
        case JobState.COMPLETED:
            return ExitCode.OK
        case JobState.FAILED if job.problem is not None:
            return of_kind(job.problem.kind)
        case JobState.CANCELLED:
            return of_kind("JobCancelled")
        case _:
            return ExitCode.UNEXPECTED


@contextmanager
def _as_json() -> Iterator[_Told]:
    yield lambda event: show_json_line(event_json(event))


@contextmanager
def _lines() -> Iterator[_Told]:
    yield lambda event: show(event_line(event))


@contextmanager
def _bar(job: Job) -> Iterator[_Told]:
    """Lines above, and below them how far the job is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(), transient=True) as progress:
        task = progress.add_task(job.type, total=100, completed=job.progress)

        def tell(event: JobEvent) -> None:
            if event.kind is EventKind.PROGRESS:
                note = one_line(str(event.data.get("note") or job.type), _WIDEST)
                progress.update(task, completed=event.data.get("percent", 0), description=escape(note))
            else:
                progress.console.print(event_line(event), markup=False, highlight=False)

        yield tell


async def _live(container: Container) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), refresh_per_second=4, transient=False) as live:
        while True:
            page = await container.jobs().page(JobFilter(), limit=_ROWS)
            counts = await container.control().counts()
            words = "  ".join(
                f"{state} {sum(it.jobs for it in counts if it.state is state)}" for state in JobState
            )
            live.update(_table(page.items, words, container.clock()()))
            await asyncio.sleep(_REFRESH)


def _table(jobs: tuple[Job, ...], words: str, now: datetime) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{words}   {now:%H:%M:%S} UTC", title_justify="left", box=None, pad_edge=False)
    for head in ("job", "type", "condition", "progress", "note"):
        table.add_column(head, no_wrap=True)
    for job in jobs:
        done = job.progress // 10
        note = job.problem.message if job.problem else job.note or ""
        bar = f"{'█' * done}{'░' * (10 - done)} {job.progress:>3} %"
        cells = (str(job.id), job.type, job.condition(now), bar, one_line(note, _WIDEST))
        table.add_row(*(Text(cell) for cell in cells))
    return table
