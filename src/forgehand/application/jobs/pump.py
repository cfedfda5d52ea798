"""The pump: the one task per process that claims jobs, runs them and settles what is done."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from forgehand.application.clock import Clock, new_id
from forgehand.application.jobs.job_type import Policy
from forgehand.application.jobs.running import RunJob
from forgehand.application.ports.bell import Bell
from forgehand.application.ports.leases import Exchange, Leases, Share, Wanted, Worker
from forgehand.application.ports.upkeep import Upkeep
from forgehand.domain.jobs import Claimed, JobState, Settlement

logger = logging.getLogger(__name__)

_POLL = 2.0
_POLL_AT_WORK = 1.0  # a running job that somebody cancels is told within this
_LONGEST_BACKOFF = 5.0
_LAST_WORDS = 10.0


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


class Pump:
    """Claims jobs of `queues` for its free slots and runs them as tasks of this loop.

    It wakes when a bell rings, when a job ends, and every two seconds. With `only` it takes that job
    and no other, and hears no bell. An error of the store never ends it: what is done is kept and
    settled later, and a claim whose answer was lost is looked up.
    """

    def __init__(
        self,
        *,
        run_job: RunJob,
        leases: Leases,
        upkeep: Upkeep,
        bell: Bell,
        clock: Clock,
        worker_label: str,
        queues: Mapping[str, Policy],
        concurrency: int = 20,
        watch: Watch = Watch(),
        only: UUID | None = None,
    ) -> None:
        self._run_job = run_job
        self._leases = leases
        self._bell = bell
        self._clock = clock
        self.worker = Worker(new_id(clock()), worker_label)
        self._queues = dict(queues)
        self._upkeep = upkeep
        self._slots = concurrency
        self._watch = watch
        self._only = only
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._stopping = False
        self._running: dict[UUID, tuple[Claimed, asyncio.Task[Settlement | None]]] = {}
        self._ended: list[Settlement] = []
        self._cancelling: set[UUID] = set()
        self._in_doubt = False
        self._misses = 0

    async def run(self, grace: float = 20.0) -> None:
        """Pump until `stop`; then let jobs finish for `grace` seconds and hand the rest back unspent."""
        async with AsyncExitStack() as stack:
            keepers = [asyncio.create_task(self._keep_beating()), asyncio.create_task(self._keep_sweeping())]
            stack.push_async_callback(_end, keepers)
            await self._register()
            if self._only is None:
                await stack.enter_async_context(self._bell.listen(self._queues.keys(), self._hear))
            try:
                while not self._stopping:
                    await self._turn()
                    await self._pause()
                await self._drain(grace)
            finally:
                # Also when this task itself is cancelled: nothing may stay claimed by nobody.
                await asyncio.shield(self._hand_back())

    def stop(self) -> None:
        """Claim nothing more, and end as `run` says."""
        self._stopping = True
        self._wake.set()

    async def settled(self, seconds: float) -> None:
        """Return when a settlement was written since the last call, or after `seconds`."""
        try:
            await asyncio.wait_for(self._settled.wait(), seconds)
        except TimeoutError:
            return
        self._settled.clear()

    def _hear(self, queue: str) -> None:
        self._wake.set()

    async def _pause(self) -> None:
        delay = _POLL_AT_WORK if self._running else _POLL
        if self._misses:
            delay = min(0.1 * 2**self._misses, _LONGEST_BACKOFF)
        try:
            await asyncio.wait_for(self._wake.wait(), delay)
        except TimeoutError:
            return
        finally:
            self._wake.clear()
        # Let everything that is ready now end first: one statement then settles it all.
        await asyncio.sleep(0)

    async def _turn(self) -> None:
        """Settle what is done and claim for the free slots."""
        settlements, self._ended = self._ended, []
        try:
            if self._in_doubt:
                await self._look_up(settlements)
                settlements = []
            exchange = await self._leases.exchange(self.worker, settlements, self._wanted(), self._clock())
        except Exception as error:  # noqa: BLE001 - the pump outlives whatever the store does
            self._ended = settlements + self._ended
            self._in_doubt = True
            self._misses += 1
            logger.warning("the job store failed (%s); what is done is kept", _said(error))
            return
        self._misses = 0
        self._take(exchange, settlements)
        if exchange.released:
            await self._release()

    def _wanted(self) -> Wanted:
        free = 0 if self._stopping else max(0, self._slots - len(self._running))
        busy = Counter(claimed.job.type for claimed, _ in self._running.values())
        shares = [
            Share(queue, min(free, policy.concurrency - busy[queue]), policy.running, policy.rate)
            for queue, policy in self._queues.items()
        ]
        return Wanted(shares, [new_id(self._clock()) for _ in range(free)], self._only)

    async def _release(self) -> None:
        """Jobs waited for what was settled. Failing here costs time alone: the sweep does the same."""
        try:
            queues = await self._upkeep.release(self._clock())
        except Exception as error:  # noqa: BLE001
            logger.warning("waiting jobs could not be released: %s", _said(error))
            return
        self._tell(queues)

    def _tell(self, queues: frozenset[str]) -> None:
        for queue in queues:
            self._bell.ring(queue)
        if queues & self._queues.keys():
            self._wake.set()

    async def _look_up(self, settlements: list[Settlement]) -> None:
        """After an error: settle (again), then take the jobs that we were given without hearing of it."""
        await self._leases.exchange(self.worker, settlements, None, self._clock())
        for claimed in await self._leases.held(self.worker):
            if claimed.lease.id not in self._running:
                self._start(claimed)
        self._in_doubt = False
        self._after(settlements)

    def _take(self, exchange: Exchange, settlements: list[Settlement]) -> None:
        for lease in exchange.lost:
            logger.warning("a job's outcome was dropped: its lease %s had passed to another worker", lease)
        for claimed in exchange.claimed:
            self._start(claimed)
        for lease in exchange.cancelled & self._running.keys():
            # Each time it is said: a job may have swallowed the last one.
            self._cancelling.add(lease)
            self._running[lease][1].cancel()
        self._after(settlements)

    def _after(self, settlements: list[Settlement]) -> None:
        if settlements:
            self._settled.set()
        for settlement in settlements:
            if settlement.state is JobState.PENDING and settlement.run_at is not None:
                wait = (settlement.run_at - self._clock()).total_seconds()
                asyncio.get_running_loop().call_later(max(0.0, wait), self._wake.set)

    def _start(self, claimed: Claimed) -> None:
        task = asyncio.create_task(self._run_job.run(claimed), name=f"job {claimed.job.id}")
        self._running[claimed.lease.id] = (claimed, task)
        task.add_done_callback(lambda done: self._finish(claimed, done))

    def _finish(self, claimed: Claimed, task: asyncio.Task[Settlement | None]) -> None:
        del self._running[claimed.lease.id]
        if task.cancelled() and claimed.lease.id in self._cancelling:
            self._ended.append(claimed.cancel(self._clock()))
        elif task.cancelled():
            self._ended.append(claimed.hand_back(self._clock()))
        elif (error := task.exception()) is not None:
            logger.error("a job ended its runner", exc_info=error)
            self._ended.append(claimed.hand_back(self._clock()))
        elif (settlement := task.result()) is not None:
            self._ended.append(settlement)
        self._cancelling.discard(claimed.lease.id)
        self._wake.set()

    async def _drain(self, grace: float) -> None:
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)

    async def _hand_back(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, deaf = await asyncio.wait(tasks, timeout=_LAST_WORDS)
            if deaf:
                logger.error("%d jobs do not let themselves be cancelled: they are rescued later", len(deaf))
        self._stopping = True
        try:
            async with asyncio.timeout(_LAST_WORDS):
                while self._ended or self._in_doubt:
                    await self._turn()
                    if self._ended:
                        await asyncio.sleep(0.2)
        except TimeoutError:
            logger.warning("the job store cannot be reached: %d outcomes are lost", len(self._ended))
            return
        if not self._running:
            with suppress(Exception):
                await self._upkeep.retire(self.worker)

    async def _register(self) -> None:
        while not self._stopping:
            try:
                await self._upkeep.beat(self.worker, self._clock())
            except Exception as error:  # noqa: BLE001 - a worker may start before its database
                logger.warning("the job store cannot be reached (%s); trying again", _said(error))
                self._misses += 1
                await self._pause()
            else:
                self._misses = 0
                return

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._watch.beat_every)
            try:
                await self._upkeep.beat(self.worker, self._clock())
            except Exception as error:  # noqa: BLE001 - tried again at the next beat
                logger.warning("a heartbeat failed: %s", _said(error))

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self._watch.sweep_every)
            try:
                swept = await self._upkeep.sweep(self._clock(), timedelta(seconds=self._watch.lease))
            except Exception as error:  # noqa: BLE001 - tried again at the next sweep
                logger.warning("a sweep failed: %s", _said(error))
                continue
            self._tell(swept.due)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
