"""The pump: the one task per process that claims jobs, runs them and settles what is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from forgehand.application.clock import Clock, new_id
from forgehand.application.jobs.forks import InThisProcess, now_in_a_job, tasks_of_jobs_watched
from forgehand.application.jobs.heart import Heart, OpenUpkeep, Watch
from forgehand.application.jobs.job_type import Policy
from forgehand.application.jobs.patience import Patience
from forgehand.application.jobs.running import RunJob
from forgehand.application.jobs.time_limit import CLEAN_UP
from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.leases import Exchange, Leases, Share, Wanted, Worker
from forgehand.application.ports.upkeep import Upkeep
from forgehand.domain.jobs import Claimed, JobState, Settlement

logger = logging.getLogger(__name__)

_POLL = 2.0
_POLL_AT_WORK = 1.0  # a running job that somebody cancels is told within this
_LONGEST_BACKOFF = 5.0
_LAST_TRIES = 0.2
_WATCH = Watch()
LAST_WORDS = 4.5
"""Seconds that `run` may take beyond its grace."""


class CancelledFromInside(Exception):
    """A job's task was cancelled, and nobody had asked for it: it did that to itself."""


class _Asked(IntEnum):
    """Why a job was told to end: what its end then means. The larger one counts."""

    NOTHING = 0
    HAND_BACK = 1
    CANCEL = 2
    DROP = 3


@dataclass(slots=True)
class _Run:
    """A job at work. `told` is when it was last cancelled."""

    claimed: Claimed
    task: asyncio.Task[Settlement | None]
    asked: _Asked = _Asked.NOTHING
    told: float | None = None

    def end(self, why: _Asked) -> None:
        """Cancel it; again only after CLEAN_UP: what it does meanwhile may be just that, not deafness."""
        self.asked = max(self.asked, why)
        now = time.monotonic()
        if self.told is None or now - self.told >= CLEAN_UP:
            self.told = now
            self.task.cancel()


class Pump:
    """Claims jobs of `queues` for its free slots and runs them as tasks of this loop.

    It wakes when a bell rings, when a job ends, and every two seconds. With `only` it takes that job
    and no other, and hears no bell. An error of the store never ends it: what is done is kept and
    settled later, and a claim whose answer was lost is looked up. Its heart beats by `open_upkeep`
    if given, else on this loop.
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
        watch: Watch = _WATCH,
        only: UUID | None = None,
        open_upkeep: OpenUpkeep | None = None,
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
        self._heart = Heart(self.worker, clock, watch, upkeep, open_upkeep)
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._stopping = False
        self._pumping: asyncio.Task[Any] | None = None
        self._running: dict[UUID, _Run] = {}
        self._ended: list[Settlement] = []
        self._in_doubt = False
        self._misses = 0
        self._missed_at = float("-inf")

    async def run(self, grace: float = 20.0) -> None:
        """Pump until `stop`; then let jobs finish for `grace` seconds and hand the rest back unspent.

        That takes at most LAST_WORDS more: jobs that are not done with their clean-up by then, and
        outcomes that the store did not take, are rescued by others.
        """
        self._pumping = asyncio.current_task()
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(tasks_of_jobs_watched())
                sweeping = asyncio.create_task(self._keep_sweeping())
                stack.push_async_callback(_end, sweeping)
                await self._register()
                await stack.enter_async_context(self._heart.beating())
                try:
                    await self._work(grace)
                finally:
                    # Also when this task itself is cancelled: nothing may stay claimed by nobody.
                    await asyncio.shield(self._hand_back())
        finally:
            if not self._running and not self._ended:
                await asyncio.shield(self._retire())

    @property
    def at_work(self) -> int:
        """How many jobs run. After `run`: those that would not end, which others rescue."""
        return len(self._running)

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

    async def _work(self, grace: float) -> None:
        async with AsyncExitStack() as ears:
            if self._only is None:
                await ears.enter_async_context(self._bell.listen(self._queues.keys(), self._hear))
            while not self._stopping:
                if not await self._turn():
                    await self._pause()
            # Letting go of the bell takes its time, and the grace is running.
            await asyncio.gather(ears.aclose(), self._drain(grace))

    def _hear(self, queue: str) -> None:
        self._wake.set()

    async def _pause(self, longest: float = _LONGEST_BACKOFF) -> None:
        delay = _POLL_AT_WORK if self._running else _POLL
        if self._misses:
            delay = 0.1 * 2 ** min(self._misses, 10)
        try:
            await asyncio.wait_for(self._wake.wait(), min(delay, longest))
        except TimeoutError:
            return
        finally:
            self._wake.clear()
        # Let everything that is ready now end first: one statement then settles it all.
        await asyncio.sleep(0)

    async def _turn(self) -> bool:
        """Settle what is done and claim for free slots; whether there may be more to claim at once."""
        self._in_doubt = self._in_doubt or self._heart.was_silent()
        settlements, self._ended = self._ended, []
        try:
            async with asyncio.timeout(self._watch.lease):  # a connection may fall silent and never say so
                if self._in_doubt:
                    await self._look_up(settlements)
                    settlements = []
                wanted = self._wanted()
                exchange = await self._leases.exchange(self.worker, settlements, wanted, self._clock())
        except BaseException as error:
            self._ended = settlements + self._ended
            self._in_doubt = True
            if not isinstance(error, Exception):
                raise
            self._misses += 1
            self._missed_at = time.monotonic()
            logger.warning("the job store failed (%s); what is done is kept", _said(error))
            return False
        self._misses = 0
        if settlements or exchange.claimed:
            self._bell.ring(TOLD)
        self._take(exchange, settlements)
        if exchange.released:
            await self._release()
        return 0 < len(exchange.claimed) == len(wanted.lease_ids) and len(self._running) < self._slots

    def _wanted(self) -> Wanted:
        # Half of the slots at most: what one claim brings runs while the next one is under way.
        most = 0 if self._stopping else (self._slots + 1) // 2
        free = min(most, self._slots - len(self._running))
        busy = Counter(run.claimed.job.type for run in self._running.values())
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
        """After an error or a silence: settle (again), then run what the store says is ours, nothing else."""
        known = dict(self._running)
        await self._leases.exchange(self.worker, settlements, None, self._clock())
        held = {claimed.lease.id: claimed for claimed in await self._leases.held(self.worker)}
        self._in_doubt = False
        self._after(settlements)
        for lease in held.keys() - known.keys():
            self._start(held[lease])
        for lease in known.keys() - held.keys():
            logger.warning("the lease %s was lost: its job is dropped here", lease)
            known[lease].end(_Asked.DROP)

    def _take(self, exchange: Exchange, settlements: list[Settlement]) -> None:
        for lease in exchange.lost:
            logger.warning("a job's outcome was dropped: its lease %s had passed to another worker", lease)
        for claimed in exchange.claimed:
            self._start(claimed)
        for lease in exchange.cancelled & self._running.keys():
            # Each time it is said: a job may have swallowed the last one.
            self._running[lease].end(_Asked.CANCEL)
        self._after(settlements)

    def _after(self, settlements: list[Settlement]) -> None:
        if settlements:
            self._settled.set()
        for settlement in settlements:
            if settlement.state is JobState.PENDING and settlement.run_at is not None:
                wait = (settlement.run_at - self._clock()).total_seconds()
                asyncio.get_running_loop().call_later(max(0.0, wait), self._wake.set)

    def _start(self, claimed: Claimed) -> None:
        if self._stopping:
            self._ended.append(claimed.hand_back(self._clock()))
            return
        task = asyncio.create_task(InThisProcess(self._attempt(claimed)), name=f"job {claimed.job.id}")
        run = self._running[claimed.lease.id] = _Run(claimed, task)
        task.add_done_callback(lambda _: self._finish(run))

    async def _attempt(self, claimed: Claimed) -> Settlement | None:
        now_in_a_job()
        return await self._run_job.run(claimed)

    def _finish(self, run: _Run) -> None:
        del self._running[run.claimed.lease.id]
        if (settlement := self._outcome(run)) is not None:
            self._ended.append(settlement)
        self._wake.set()

    def _outcome(self, run: _Run) -> Settlement | None:
        """A job that was told to end has done so, however it took it; unless it was done just then."""
        if run.task.cancelled() and run.asked is _Asked.NOTHING and self._is_ending():
            run.asked = _Asked.HAND_BACK
        if run.task.cancelled():
            error: BaseException | None = CancelledFromInside("the job's own task was cancelled from inside")
        else:
            error = run.task.exception()
        if error is not None:
            settlement = self._run_job.failed(run.claimed, _as_exception(error))
        elif (settled := run.task.result()) is not None:
            settlement = settled
        else:
            return None
        match run.asked:
            case _Asked.DROP:
                return None
            case _Asked.CANCEL if settlement.state is not JobState.COMPLETED:
                return run.claimed.cancel(self._clock())
            case _Asked.HAND_BACK if settlement.state is not JobState.COMPLETED:
                return run.claimed.hand_back(self._clock())
            case _:
                return settlement

    def _is_ending(self) -> bool:
        """Also where the whole loop is being cancelled, jobs and pump at once."""
        return self._stopping or (self._pumping is not None and self._pumping.cancelling() > 0)

    async def _drain(self, grace: float) -> None:
        """Settle what ends; somebody may still cancel a job."""
        deadline = time.monotonic() + grace
        while self._running and (left := deadline - time.monotonic()) > 0:
            await self._pause(left)
            await self._turn()

    async def _hand_back(self) -> None:
        self._stopping = True
        for run in tuple(self._running.values()):
            run.end(_Asked.HAND_BACK)
        cleaned_up = time.monotonic() + CLEAN_UP
        try:
            async with asyncio.timeout(LAST_WORDS):
                while self._ended or self._in_doubt or (self._running and time.monotonic() < cleaned_up):
                    await self._turn()
                    await self._pause(_LAST_TRIES)
        except TimeoutError:
            logger.warning("the job store cannot be reached: %d outcomes are lost", len(self._ended))
        if self._running:
            logger.error(
                "%d jobs do not let themselves be cancelled: they are rescued later", len(self._running)
            )

    async def _retire(self) -> None:
        with suppress(Exception):
            async with asyncio.timeout(_LAST_TRIES):
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

    async def _keep_sweeping(self) -> None:
        patience = Patience(self._watch.lease, time.monotonic())
        while True:
            await asyncio.sleep(self._watch.sweep_every)
            # A statement whose connection broke may yet have claimed something long after.
            if time.monotonic() - self._missed_at < 2 * self._watch.lease:
                self._in_doubt = True
            try:
                async with asyncio.timeout(self._watch.lease):
                    swept = await self._upkeep.sweep(self._clock(), patience.unseen(time.monotonic()))
            except Exception as error:  # noqa: BLE001 - tried again at the next sweep
                logger.warning("a sweep failed: %s", _said(error))
                continue
            patience.answered = time.monotonic()
            self._tell(swept.due)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"the job ended by {error!r}")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
