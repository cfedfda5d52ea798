"""The heart: says that a worker lives, from a thread of its own, while the worker's event loop turns."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from forgehand.application.clock import Clock
from forgehand.application.ports.leases import Worker
from forgehand.application.ports.upkeep import Upkeep

logger = logging.getLogger(__name__)

OpenUpkeep = Callable[[], AbstractAsyncContextManager[Upkeep]]

_LAST_BEAT = 1.0
_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """How a worker shows that it lives, in seconds: a worker not seen for `lease` is dead."""

    lease: float = 30.0

    @property
    def beat_every(self) -> float:
        return self.lease / 6

    @property
    def sweep_every(self) -> float:
        return self.lease / 4

    @property
    def longest_stall(self) -> float:
        """A loop that has not turned for so long is as good as dead: its worker is not spoken for."""
        return self.lease / 2

    @property
    def tick_every(self) -> float:
        return min(max(self.lease / 30, 0.05), 1.0)

    @property
    def beat_within(self) -> float:
        """A beat that hangs is given up, for the next one to try another connection."""
        return max(self.lease / 3, 1.0)


class Heart:
    """Beats for `worker` while its context is open. A store that fails costs the beats it fails.

    With `open_upkeep` it beats from a thread with a loop and a connection of its own, whatever the
    jobs do to the worker's: but no longer than that loop turns, so that the jobs of a worker that one
    of them blocks are rescued by others. Without, it beats on the worker's loop through `upkeep`.
    """

    def __init__(
        self,
        worker: Worker,
        clock: Clock,
        watch: Watch,
        upkeep: Upkeep,
        open_upkeep: OpenUpkeep | None = None,
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._watch = watch
        self._upkeep = upkeep
        self._open_upkeep = open_upkeep
        self._end: Future[None] = Future()
        self._ticked = self._beaten = time.monotonic()
        self._stalled = False
        self._silent = threading.Event()

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """On leaving, no beat is under way and none will follow."""
        self._ticked = self._beaten = time.monotonic()
        ticking = asyncio.create_task(self._tick())
        if self._open_upkeep is None:
            ended: asyncio.Future[None] = asyncio.ensure_future(
                self._beat_on(self._upkeep, threading.get_ident())
            )
        else:
            ended = asyncio.wrap_future(self._in_a_thread(self._open_upkeep))
        try:
            yield
        finally:
            ticking.cancel()
            self._end.set_result(None)
            await asyncio.wait([ended, ticking], timeout=_LAST_BEAT)

    def was_silent(self) -> bool:
        """Whether, since the last call, so long passed without a beat that jobs may have been taken away."""
        if not self._silent.is_set():
            return False
        self._silent.clear()
        return True

    async def _tick(self) -> None:
        while True:
            self._ticked = time.monotonic()
            await asyncio.sleep(self._watch.tick_every)

    def _in_a_thread(self, open_upkeep: OpenUpkeep) -> Future[None]:
        ended: Future[None] = Future()
        watched = threading.get_ident()

        async def live() -> None:
            async with open_upkeep() as upkeep:
                await self._beat_on(upkeep, watched)

        def main() -> None:
            try:
                asyncio.run(live())
            except Exception:
                logger.exception("the heart stopped: this worker will be taken for dead")
            finally:
                ended.set_result(None)

        threading.Thread(target=main, name="forgehand-heart", daemon=True).start()
        return ended

    async def _beat_on(self, upkeep: Upkeep, watched: int) -> None:
        end = asyncio.wrap_future(self._end)
        while not end.done():
            await asyncio.wait([end], timeout=self._watch.beat_every)
            if not end.done() and self._loop_turns(watched):
                await self._beat(upkeep)

    def _loop_turns(self, watched: int) -> bool:
        since = time.monotonic() - self._ticked
        turns = since < self._watch.longest_stall
        if turns and self._stalled:
            logger.warning("the event loop turns again; jobs that others took over meanwhile are dropped")
        elif not turns and not self._stalled:
            logger.error(
                "the event loop has not turned for %.1f s, so this worker counts as dead: a job blocks it"
                " (blocking work belongs in asyncio.to_thread or a subprocess), at\n%s",
                since,
                _where(watched),
            )
        self._stalled = not turns
        return turns

    async def _beat(self, upkeep: Upkeep) -> None:
        try:
            async with asyncio.timeout(self._watch.beat_within):
                await upkeep.beat(self._worker, self._clock())
        except Exception as error:  # noqa: BLE001 - tried again at the next beat
            logger.warning("a heartbeat failed: %s", str(error) or type(error).__name__)
            return
        silence, self._beaten = time.monotonic() - self._beaten, time.monotonic()
        if silence > self._watch.longest_stall:
            self._silent.set()


def _where(thread: int) -> str:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, underscore and all
    return "".join(traceback.format_stack(frame)[-_FRAMES:]).rstrip() if frame else "(unknown)"
