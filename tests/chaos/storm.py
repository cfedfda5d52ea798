"""The storm: jobs are submitted while their workers and servers are killed; then all is calm and counted."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.chaos.account import Account
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Planned, plan
from tests.chaos.stage import Crew, Servers, Stage, staged

Blow = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it gets. Times in seconds; once it is calm, a job has to end every `patience`."""

    jobs: int
    seconds: float
    kills: int
    freezes: int
    seed: int
    patience: float = 30.0


@dataclass(slots=True)
class Outcome:
    """The account, what was done (by name), and how long after it was calm the last job ended."""

    account: Account
    done: Counter[str]
    calm_seconds: float


async def ride(weather: Weather, crew: Crew, standing: Servers, folder: Path) -> Outcome:
    """Let the storm pass over the jobs and draw up the account."""
    planned = plan(weather.jobs, random.Random(weather.seed))
    chance = random.Random(weather.seed)
    async with staged(crew, standing, folder, chance) as stage:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_submit(stage, planned, weather.seconds))
            tasks.create_task(_strike(weather, stage, standing, chance))
        waited = await stage.ended(weather.patience)
        account = await stage.account()
    return Outcome(account, stage.fleet.done + standing.done, waited)


async def _submit(stage: Stage, planned: Sequence[Planned], seconds: float) -> None:
    """In batches, evenly. Some are cancelled a little later."""
    batch = max(1, round(len(planned) / max(1.0, seconds)))
    began = time.monotonic()
    async with asyncio.TaskGroup() as cancelling:
        for first in range(0, len(planned), batch):
            await asyncio.sleep(max(0.0, began + seconds * first / len(planned) - time.monotonic()))
            jobs = planned[first : first + batch]
            await stage.submit(jobs)
            for job in jobs:
                if job.cancelled:
                    cancelling.create_task(_cancel(stage, job))


async def _cancel(stage: Stage, job: Planned) -> None:
    await asyncio.sleep(job.id.int % 30 / 10)
    await stage.cancel(job)


async def _strike(weather: Weather, stage: Stage, standing: Servers, chance: random.Random) -> None:
    """Every blow of the deck, in an order and at times by the seed."""
    deck = _deck(weather, stage.crew.lease, stage.fleet, standing, chance)
    began = time.monotonic()
    times = sorted(chance.uniform(0.02, 1.0) * weather.seconds for _ in deck)
    respite = weather.seconds / len(deck) / 2  # on a slow machine, too, there is some work between blows
    for blow, due in zip(deck, times, strict=True):
        await asyncio.sleep(max(respite, began + due - time.monotonic()))
        await blow()


def _deck(
    weather: Weather, lease: float, fleet: Fleet, standing: Servers, chance: random.Random
) -> list[Blow]:
    few, fewer = max(1, weather.kills // 10), max(1, weather.kills // 16)
    deck: list[Blow] = []
    deck += [fleet.kill] * weather.kills + [fleet.ask_to_end] * few
    if standing.postgres is not None:
        deck += [partial(fleet.freeze, lease * chance.uniform(1.4, 2.6)) for _ in range(weather.freezes)]
        deck += [standing.flush_redis] * few + [standing.cut_connections] * few
        deck += [partial(standing.kill_redis, chance.uniform(0, 3)) for _ in range(few)]
        for how in ("fast", "immediate", "killed"):
            deck += [partial(standing.restart_postgres, how, chance.uniform(0, 1)) for _ in range(fewer)]
    chance.shuffle(deck)
    return deck
