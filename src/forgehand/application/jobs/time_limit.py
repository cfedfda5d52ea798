"""Ending what takes too long, also where it does not want to hear of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import TracebackType
from typing import Self

from forgehand.application.ports.failures import Transient

CLEAN_UP = 3.5
"""Seconds that a job has to end after it was cancelled, before it is cancelled again or left alone."""


class TimeLimitExceeded(Transient):
    """The attempt took longer than its job type allows."""


class TimeLimit:
    """As `asyncio.timeout`, but a block that swallows its cancellation is cancelled again every CLEAN_UP.

    Leaving it cancelled by this and nobody else raises TimeLimitExceeded; a block that ends by itself,
    however late, has ended.
    """

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit.total_seconds()
        self._cancelled = 0

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for a task")
        self._task, self._before = task, task.cancelling()
        self._next = asyncio.get_running_loop().call_later(self._limit, self._cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next.cancel()
        if not self._cancelled:
            return
        for _ in range(self._cancelled):
            self._task.uncancel()
        if self._task.cancelling() <= self._before and isinstance(error, asyncio.CancelledError):
            raise TimeLimitExceeded(f"the attempt took longer than {self._limit:g} s") from error

    def _cancel(self) -> None:
        self._cancelled += 1
        self._task.cancel()
        self._next = asyncio.get_running_loop().call_later(CLEAN_UP, self._cancel)
