"""The job store, as workers see it: leases, and writes that only their holder may make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from forgehand.application.ports.failures import Permanent
from forgehand.domain.jobs import Claimed, EventKind, JsonObject, Lease, RateLimit, Settlement


class LeaseLost(Permanent):
    """The job is no longer this worker's: it was rescued, cancelled or settled. Stop and write nothing."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker can take of one queue: at most `slots` jobs.

    `running` bounds the jobs of that type that run at once in all processes, `rate` how many start;
    both are kept exactly, however many workers claim at once.
    """

    queue: str
    slots: int
    running: int | None = None
    rate: RateLimit | None = None

    @property
    def limited(self) -> bool:
        return self.running is not None or self.rate is not None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now, of each queue and in all.

    One job at most for each of `lease_ids`, which the worker made: if the answer is lost, it can
    look up (`held`) what it was given. With `only`, that job or nothing.
    """

    shares: Sequence[Share]
    lease_ids: Sequence[UUID]
    only: UUID | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """`claimed` in the order to run them; `lost` are leases whose settlement was refused as stale.

    `cancelled` are leases of this worker whose job somebody wants cancelled. `released` is true
    where a settled job had others waiting for it: `release` them.
    """

    claimed: tuple[Claimed, ...] = ()
    lost: frozenset[UUID] = frozenset()
    cancelled: frozenset[UUID] = frozenset()
    released: bool = False


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs jobs. `label` says where: host and process id."""

    id: UUID
    label: str


class Leases(Protocol):
    """Each call is one short transaction. Any of them raises StoreUnavailable."""

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        """Settle what is done and claim for the free slots, atomically and in one round trip where SQL can.

        Claims the pending jobs of the wanted queues that are due, not paused and wait for nothing,
        highest priority first, then oldest; no two workers ever get the same attempt. A settlement
        takes effect only while its lease is the job's lease; one that would put a job back that somebody
        wants cancelled cancels it. Each claim and settlement leaves its
        attempt and its event.
        """
        ...

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        """The jobs that the store says this worker is running."""
        ...

    async def report(self, lease: Lease, kind: EventKind, data: JsonObject, now: datetime) -> None:
        """Append an event; PROGRESS also updates the job (`percent`, `note`). Raise LeaseLost."""
        ...

    async def logged(self, lease: Lease) -> int:
        """How many LOG events the job has, of all its attempts."""
        ...

    async def recall(self, lease: Lease, key: str) -> JsonObject | None:
        """What any attempt of this job remembered under `key`."""
        ...

    async def remember(self, lease: Lease, key: str, value: JsonObject) -> None:
        """Keep the result of a step for later attempts; the first one stays. Raise LeaseLost."""
        ...
