"""The storm: jobs are submitted while their workers and servers are killed; then all is calm and counted."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
from dependency_injector import providers

from forgehand.application.clock import utc_now
from forgehand.application.ports.jobs import JobFilter, StoreUnavailable
from forgehand.container import Container, opened
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.settings import load
from tests.chaos import ledger, witness
from tests.chaos.account import Account, draw_up
from tests.chaos.bells import UnreliableBell
from tests.chaos.fleet import Fleet, clean_environment
from tests.chaos.ledger import Ledger
from tests.chaos.ordeals import refit
from tests.chaos.plan import Planned, plan
from tests.services import Postgres, Redis

Blow = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it gets. Times in seconds; `patience` is how long all may take to end once it is calm."""

    jobs: int
    store: str
    seconds: float
    kills: int
    seed: int
    lease: float
    workers: int = 4
    slots: int = 3
    patience: float = 60.0
    break_fence: bool = False


@dataclass(slots=True)
class Outcome:
    """The account, what was done (by name), and how long after it was calm the last job ended."""

    account: Account
    done: Counter[str]
    calm_seconds: float


@dataclass(slots=True)
class Servers:
    """What the jobs stand on. `redis` and `postgres` only where the store is PostgreSQL."""

    url: str
    postgres: Postgres | None = None
    redis: Redis | None = None
    done: Counter[str] = field(default_factory=Counter)

    async def flush_redis(self) -> None:
        await asyncio.to_thread(self._redis().flush)
        self.done["Redis flushed"] += 1

    async def kill_redis(self, away: float) -> None:
        self._redis().kill()
        await asyncio.sleep(away)
        await asyncio.to_thread(self._redis().start)
        self.done["Redis killed and restarted"] += 1

    async def restart_postgres(self, how: str, away: float) -> None:
        """`how`: fast, immediate, or killed."""
        server = self._postgres()
        if how == "immediate" and server.pid is not None:
            os.kill(server.pid, signal.SIGQUIT)
        await asyncio.to_thread(server.kill if how == "killed" else server.stop)
        await asyncio.sleep(away)
        await asyncio.to_thread(server.start)
        self.done[f"PostgreSQL restarted ({how})"] += 1

    async def cut_connections(self) -> None:
        """End every connection to the database, in the middle of whatever it was doing."""
        connection = await asyncpg.connect(self.url, timeout=10)
        try:
            cut = await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()
        self.done["all connections cut"] += 1
        self.done["connections cut"] += cut

    def _postgres(self) -> Postgres:
        if self.postgres is None:
            raise AssertionError("there is no PostgreSQL in this storm")
        return self.postgres

    def _redis(self) -> Redis:
        if self.redis is None:
            raise AssertionError("there is no Redis in this storm")
        return self.redis


@contextmanager
def servers(store: str, folder: Path) -> Iterator[Servers]:
    """Real servers for PostgreSQL; a file for SQLite."""
    if store == "sqlite":
        yield Servers(f"sqlite:///{folder / 'jobs.db'}")
        return
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(Postgres()), stack.enter_context(Redis())
        yield Servers(postgres.create_database(), postgres, redis)


async def ride(weather: Weather, standing: Servers, folder: Path) -> Outcome:
    """Let the storm pass over the jobs and draw up the account."""
    database = Database(standing.url)
    await upgrade(database)
    await database.close()
    await witness.install(standing.url)
    chance = random.Random(weather.seed)
    planned = plan(weather.jobs, random.Random(weather.seed))
    environment = _environment(weather, standing, folder)
    fleet = Fleet(weather.workers, folder, environment, chance)
    tending = asyncio.create_task(fleet.tend())
    flags = {"database_url": standing.url, "redis_url": environment.get("REDIS_URL"), "home": folder / "home"}
    try:
        async with opened(load(flags)) as container, asyncio.TaskGroup() as tasks:
            refit(container, Ledger(folder, "harness"))
            container.bell.override(providers.Object(UnreliableBell(container.bell())))
            tasks.create_task(_submit(container, planned, weather.seconds, Ledger(folder, "submitter")))
            tasks.create_task(_strike(weather, fleet, standing, chance))
        calm = time.monotonic()
        await _ended(standing.url, weather.patience)
        waited = time.monotonic() - calm
    finally:
        tending.cancel()
        await asyncio.wait({tending})
        await fleet.dismiss(within=30)
    account = draw_up(ledger.read(folder), await witness.hear(standing.url), fleet.fates, weather.lease)
    account.faults["worker died by itself"] = fleet.faults
    return Outcome(account, fleet.done + standing.done, waited)


def _environment(weather: Weather, standing: Servers, folder: Path) -> dict[str, str]:
    given = {
        **clean_environment(),
        "DATABASE_URL": standing.url,
        "FORGEHAND_HOME": str(folder / "home"),
        "FORGEHAND_CONCURRENCY": str(weather.slots),
        "FORGEHAND_LEASE_SECONDS": str(weather.lease),
        "FORGEHAND_GRACE_SECONDS": "0.5",
    }
    if standing.redis is not None:
        given["REDIS_URL"] = standing.redis.url
    if weather.break_fence:
        given["CHAOS_BREAK_FENCE"] = "1"
    return given


async def _submit(container: Container, planned: Sequence[Planned], seconds: float, book: Ledger) -> None:
    """In batches, evenly; each is tried until it is acknowledged. Some are cancelled a little later."""
    batch = max(1, round(len(planned) / max(1.0, seconds)))
    began = time.monotonic()
    async with asyncio.TaskGroup() as cancelling:
        for first in range(0, len(planned), batch):
            orders = planned[first : first + batch]
            await asyncio.sleep(max(0.0, began + seconds * first / len(planned) - time.monotonic()))
            await _insist(lambda: container.submit_job().submit_many([it.order for it in orders], by="chaos"))  # noqa: B023 - awaited in the same turn
            for job in orders:
                book.submitted(job.id, job.ends)
                if job.cancelled:
                    cancelling.create_task(_cancel(container, job))


async def _cancel(container: Container, job: Planned) -> None:
    await asyncio.sleep(job.id.int % 30 / 10)
    await _insist(lambda: container.control().cancel(JobFilter(ids=[job.id]), utc_now()))


async def _insist(deed: Blow) -> None:
    while True:
        try:
            await deed()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


async def _strike(weather: Weather, fleet: Fleet, standing: Servers, chance: random.Random) -> None:
    """Every blow of the deck, in an order and at times by the seed."""
    deck = _deck(weather, fleet, standing, chance)
    began = time.monotonic()
    times = sorted(chance.uniform(0.02, 1.0) * weather.seconds for _ in deck)
    for blow, due in zip(deck, times, strict=True):
        await asyncio.sleep(max(0.0, began + due - time.monotonic()))
        await blow()


def _deck(weather: Weather, fleet: Fleet, standing: Servers, chance: random.Random) -> list[Blow]:
    few, fewer = max(1, weather.kills // 10), max(1, weather.kills // 16)
    deck: list[Blow] = []
    deck += [fleet.kill] * weather.kills + [fleet.ask_to_end] * few
    if weather.store == "postgresql":
        for _ in range(max(2, weather.kills // 3)):
            frozen = weather.lease * chance.uniform(1.4, 2.6)
            deck.append(lambda frozen=frozen: fleet.freeze(frozen))  # type: ignore[misc]  # mypy sees no default
        deck += [standing.flush_redis] * few + [standing.cut_connections] * few
        deck += [lambda: standing.kill_redis(chance.uniform(0, 3))] * few
        for how in ("fast", "immediate", "killed"):
            deck += [lambda how=how: standing.restart_postgres(how, chance.uniform(0, 1))] * fewer  # type: ignore[misc]  # as above
    chance.shuffle(deck)
    return deck


async def _ended(url: str, patience: float) -> None:
    """Return when no job is left, or when patience is."""
    deadline = time.monotonic() + patience
    while await witness.unfinished(url) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
