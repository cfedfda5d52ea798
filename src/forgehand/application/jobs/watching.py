"""Following what happens to jobs, from any process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from forgehand.application.ports.jobs import JobNotFound, Jobs, StoreUnavailable, StreamedEvent
from forgehand.domain.jobs import JobEvent

T = TypeVar("T")
_PAGE = 200


class Watching:
    """Reads events from the store as they come, at the reader's pace: nothing gathers for a slow one.

    While nothing happens, each reader looks every half second; None tells it that all was quiet for
    `quiet` seconds. An unreachable store is waited for.
    """

    def __init__(self, jobs: Jobs, *, every: float = 0.5, quiet: float = 15.0) -> None:
        self._jobs = jobs
        self._every = every
        self._quiet = quiet
        self._closed = asyncio.Event()
        self._looks: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """End every iteration, now and later."""
        self._closed.set()

    async def job(self, job_id: UUID, after: int = 0) -> AsyncIterator[JobEvent | None]:
        """The events of a job after that sequence, to its end. None of its end is missed.

        It ends also when the job is purged.
        """
        silence, doubt = 0.0, True
        while not self._closed.is_set():
            try:
                # Looked up before the events are read, so that the last one is among them.
                ended = doubt and (await self._whole(self._jobs.get(job_id))).state.ended
                events = await self._whole(self._jobs.events(job_id, after=after, limit=_PAGE))
            except JobNotFound:
                return
            except StoreUnavailable:
                ended, events, doubt = False, [], True
            else:
                doubt = any(event.kind.terminal for event in events)
            for event in events:
                yield event
                after = event.sequence
            if ended and len(events) < _PAGE:
                return
            if events:
                silence = 0.0
                continue
            silence = await self._wait(silence)
            if silence == 0.0:
                doubt = True
                yield None

    async def all(self, after: str) -> AsyncIterator[StreamedEvent | None]:
        """The events of all jobs after that position, for ever. Raise ValueError as Jobs.stream."""
        silence = 0.0
        while not self._closed.is_set():
            try:
                events = await self._whole(self._jobs.stream(after=after, limit=_PAGE))
            except StoreUnavailable:
                events = []
            for streamed in events:
                yield streamed
                after = streamed.position
            if events:
                silence = 0.0
                continue
            silence = await self._wait(silence)
            if silence == 0.0:
                yield None

    async def _whole(self, look: Coroutine[Any, Any, T]) -> T:
        """A look at the store goes to its end though its reader leaves.

        A server cancels at every await from then on: the clean-up of a query would be cut short, too,
        and its connection lost. A database in memory is its connection.
        """
        task = asyncio.create_task(look)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        return await asyncio.shield(task)

    async def _wait(self, silence: float) -> float:
        """The silence so far, 0 where it has lasted long enough to be told."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), self._every)
        silence += self._every
        return silence if silence < self._quiet else 0.0
