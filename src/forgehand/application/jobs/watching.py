"""Following what happens to jobs, from any process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.jobs import JobNotFound, Jobs, StoreUnavailable, StreamedEvent
from forgehand.domain.jobs import JobEvent

T = TypeVar("T")
_PAGE = 200
_BREATH = 0.1  # between two looks, however often it rings: a busy fleet rings all the time


class Watching:
    """Reads events from the store as they come, at the reader's pace: nothing gathers for a slow one.

    While it is `opened`, the bell wakes readers; without a ring, each looks every second. None tells a
    reader that all was quiet for `quiet` seconds. An unreachable store is waited for.
    """

    def __init__(self, jobs: Jobs, bell: Bell, *, every: float = 1.0, quiet: float = 15.0) -> None:
        self._jobs = jobs
        self._bell = bell
        self._every = every
        self._quiet = quiet
        self._closed = asyncio.Event()
        self._news = asyncio.Event()
        self._readers = asyncio.Event()
        self._looks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen from the first reader on. On leaving, every iteration ends."""
        listening = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            self.close()
            self._readers.set()
            await listening

    def close(self) -> None:
        """End every iteration, now and later."""
        self._closed.set()
        self._hear(TOLD)

    async def _listen(self) -> None:
        await self._readers.wait()
        if not self._closed.is_set():
            async with self._bell.listen([TOLD], self._hear):
                await self._closed.wait()

    def _hear(self, queue: str) -> None:
        """Wake all who wait; who reads just now looks again, for it holds the old event."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def job(self, job_id: UUID, after: int = 0) -> AsyncIterator[JobEvent | None]:
        """The events of a job after that sequence, to its end. None of its end is missed.

        It ends also when the job is purged.
        """
        silence, doubt = 0.0, True
        self._readers.set()
        while not self._closed.is_set():
            news = self._news
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
            if len(events) == _PAGE or (events and doubt):
                continue
            silence = await self._wait(news, 0.0 if events else silence)
            if silence == 0.0:
                doubt = True
                yield None

    async def all(self, after: str) -> AsyncIterator[StreamedEvent | None]:
        """The events of all jobs after that position, for ever. Raise ValueError as Jobs.stream."""
        silence = 0.0
        self._readers.set()
        while not self._closed.is_set():
            news = self._news
            try:
                events = await self._whole(self._jobs.stream(after=after, limit=_PAGE))
            except StoreUnavailable:
                events = []
            for streamed in events:
                yield streamed
                after = streamed.position
            if len(events) == _PAGE:
                continue
            silence = await self._wait(news, 0.0 if events else silence)
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

    async def _wait(self, news: asyncio.Event, silence: float) -> float:
        """Until there is news, or for a while. The silence so far; 0 where it is to be told."""
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(_BREATH)
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), self._every)
        silence += asyncio.get_running_loop().time() - began
        return silence if silence < self._quiet else 0.0
