"""Watching the tasks of jobs, by several pumps of one loop."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from forgehand.application.jobs.forks import InThisProcess, now_in_a_job, tasks_of_jobs_watched


async def wrapped() -> int:
    """How many times a task of a job is wrapped."""

    async def job() -> int:
        now_in_a_job()
        task = asyncio.create_task(asyncio.sleep(0))
        found: Any = task.get_coro()
        await task
        times = 0
        while isinstance(found, InThisProcess):
            times, found = times + 1, found._work
        return times

    return await asyncio.create_task(job())


async def test_tasks_of_jobs_are_watched_while_anybody_does_and_never_twice() -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    first, second, third = ExitStack(), ExitStack(), ExitStack()
    assert await wrapped() == 0
    for stack in (first, second):
        stack.enter_context(tasks_of_jobs_watched())
        assert await wrapped() == 1
    # They overlap and leave in any order, as requests to a server do.
    first.close()
    third.enter_context(tasks_of_jobs_watched())
    second.close()
    assert await wrapped() == 1
    third.close()
    assert await wrapped() == 0
    assert loop.get_task_factory() is before
