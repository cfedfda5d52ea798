"""Many jobs through many cut connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from forgehand.application.jobs.submit import Order, Terms
from tests.chaos import witness
from tests.chaos.ordeals import COMPLETED
from tests.chaos.plan import Planned
from tests.chaos.stage import Crew, Servers, staged
from tests.chaos.storm import Outcome

_BATCH = 5_000


def plain(jobs: int, milliseconds: int = 0) -> Sequence[Planned]:
    """Jobs that only take their time, and complete."""
    return [
        Planned(
            job_id := UUID(int=random.getrandbits(128), version=4),
            Order("ordeal", {"kind": "plain", "milliseconds": milliseconds}, Terms(job_id=job_id)),
            COMPLETED,
        )
        for _ in range(jobs)
    ]


async def endure(jobs: int, cuts: int, crew: Crew, standing: Servers, folder: Path) -> Outcome:
    """Cut all connections `cuts` times, evenly over the work, and draw up the account."""
    async with staged(crew, standing, folder) as stage:
        planned = plain(jobs)
        for first in range(0, jobs, _BATCH):
            await stage.submit(planned[first : first + _BATCH])
        for left in range(cuts, 0, -1):
            while await witness.unfinished(stage.url) > jobs * left // (cuts + 1):
                await asyncio.sleep(0.01)
            await standing.cut_connections()
        waited = await stage.ended(patience=60)
        account = await stage.account()
    return Outcome(account, stage.fleet.done + standing.done, waited)
