"""A job that forks: its copy of the worker must never get at the worker's loop and connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

STRAYED = 70
"""The exit code of a forked copy that would have gone on as a second worker."""

_in_a_job = ContextVar("_in_a_job", default=False)


class InThisProcess(Coroutine[Any, Any, T]):
    """`work`, in this process alone: one that it forks ends where it would come back to the event loop."""

    __slots__ = ("_home", "_work")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._home = os.getpid()

    def send(self, value: Any, /) -> Any:
        try:
            return self._work.send(value)
        finally:
            self._end_if_forked()

    def throw(self, *error: Any) -> Any:
        try:
            return self._work.throw(*error)
        finally:
            self._end_if_forked()

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()

    def _end_if_forked(self) -> None:
        if os.getpid() != self._home:
            os._exit(STRAYED)


def now_in_a_job() -> None:
    """What this task starts from here on belongs to a job."""
    _in_a_job.set(True)


class _Watched:
    """A task factory under which the tasks of jobs run InThisProcess; one for all who hold it."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.holders = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> asyncio.Future[Any]:
        if _in_a_job.get():
            work = InThisProcess(work)
        made: asyncio.Future[Any] = (self.before or _plain)(loop, work, **how)
        return made


def _plain(loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> asyncio.Future[Any]:
    return asyncio.Task(work, loop=loop, **how)


@contextmanager
def tasks_of_jobs_watched() -> Iterator[None]:
    """While open, once or many times, the tasks that jobs start on this loop run InThisProcess, too."""
    loop = asyncio.get_running_loop()
    now: Any = loop.get_task_factory()
    watched = now if isinstance(now, _Watched) else _Watched(now)
    watched.holders += 1
    loop.set_task_factory(watched)
    try:
        yield
    finally:
        watched.holders -= 1
        if not watched.holders and loop.get_task_factory() is watched:
            loop.set_task_factory(watched.before)
