"""The job store, as those see it who keep it in order: heartbeats, rescue, waiting jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from forgehand.application.ports.leases import Worker


@dataclass(frozen=True, slots=True)
class Swept:
    """`rescued` jobs are pending again or, with no attempt left, failed;
    `due` queues have work."""

    rescued: int = 0
    due: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker, when it began, when it last showed that it lives, and how many jobs it holds."""

    worker: Worker
    started_at: datetime
    seen_at: datetime
    running: int


class Upkeep(Protocol):
    """Each call is one short transaction. Any of them raises StoreUnavailable."""

    async def beat(self, worker: Worker, now: datetime) -> None:
        """Say that this worker is alive. The first beat registers it; `exchange` needs it registered."""
        ...

    async def release(self, now: datetime) -> frozenset[str]:
        """Let the jobs go on that wait for nothing any more, or fail those whose parents failed.

        Returns the queues that have work by it.
        """
        ...

    async def sweep(self, now: datetime, lease_time: timedelta) -> Swept:
        """Rescue the jobs of workers not seen for `lease_time`: LOST, counted as an attempt.

        Of several processes that sweep at once one does the work; the others return nothing rescued.
        """
        ...

    async def workers(self) -> Sequence[SeenWorker]:
        """Those that have not retired, the oldest first; some may be dead without being swept yet."""
        ...

    async def retire(self, worker: Worker) -> None:
        """Forget a worker that ended in good order."""
        ...
