"""The job store, as workers see it: leases, and writes that only their holder may make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from forgehand.application.ports.failures import Permanent
from forgehand.domain.jobs import Claimed, EventKind, JsonObject, Lease, Settlement


class LeaseLost(Permanent):
    """The job is no longer this worker's: it was rescued, cancelled or settled. Stop and write nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now.

    One job at most for each of `lease_ids`, which the worker made: if the answer is lost, it can
    look up (`held`) what it was given. With `only`, that job or nothing.
    """

    queues: Collection[str]
    lease_ids: Sequence[UUID]
    only: UUID | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """`claimed` in the order to run them; `lost` are leases whose settlement was refused as stale."""

    claimed: tuple[Claimed, ...] = ()
    lost: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs jobs. `label` says where: host and process id."""

    id: UUID
    label: str


@dataclass(frozen=True, slots=True)
class Swept:
    """`rescued` jobs are pending again or, with no attempt left, failed;
    `due` queues have work."""

    rescued: int = 0
    due: frozenset[str] = frozenset()


class Leases(Protocol):
    """Each call is one short transaction. Any of them raises StoreUnavailable."""

    async def exchange(
        self, worker: Worker, settlements: Sequence[Settlement], wanted: Wanted | None, now: datetime
    ) -> Exchange:
        """Settle what is done and claim for the free slots, atomically and in one round trip where SQL can.

        Claims the pending jobs of `wanted.queues` that are due, highest priority first, then
        oldest; no two workers ever get the same attempt. A settlement takes effect only while its
        lease is the job's lease. Each claim and settlement leaves its attempt and its event.
        """
        ...

    async def held(self, worker: Worker) -> Sequence[Claimed]:
        """The jobs that the store says this worker is running."""
        ...

    async def report(self, lease: Lease, kind: EventKind, data: JsonObject, now: datetime) -> None:
        """Append an event; PROGRESS also updates the job (`percent`, `note`). Raise LeaseLost."""
        ...

    async def recall(self, lease: Lease, key: str) -> JsonObject | None:
        """What any attempt of this job remembered under `key`."""
        ...

    async def remember(self, lease: Lease, key: str, value: JsonObject) -> None:
        """Keep the result of a step for later attempts; the first one stays. Raise LeaseLost."""
        ...

    async def beat(self, worker: Worker, now: datetime) -> None:
        """Say that this worker is alive. The first beat registers it; `exchange` needs it registered."""
        ...

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        """Rescue the jobs of workers not seen for `lease_time`: LOST, counted as an attempt.

        Safe to run in several processes at once.
        """
        ...
