"""A worker of ours that runs on while it is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.systems import FORGEHAND, ROOT, Bench


@dataclass(frozen=True, slots=True)
class Used:
    """Until now: seconds of CPU, bytes of memory; and when each job began."""

    cpu: float
    rss: int
    at: dict[str, float]


class Serving:
    """The worker's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def used(self) -> Used:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Used(**json.loads(self._process.stdout.readline()))

    def at_work(self, count: int, within: float = 120) -> Used:
        """Wait until it has begun `count` jobs."""
        deadline = time.monotonic() + within
        while len((used := self.used()).at) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(used.at)} of {count} jobs began")
            time.sleep(0.1)
        return used


@contextmanager
def serving(bench: Bench, database: str, slots: int) -> Iterator[Serving]:
    """A worker of all types with `slots`; it is idle when this returns."""
    process = subprocess.Popen(
        [
            *FORGEHAND.command,
            "serve",
            "--database",
            database,
            "--redis",
            bench.redis_url,
            "--slots",
            str(slots),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        worker = Serving(process)
        worker.used()
        time.sleep(3)
        yield worker
    finally:
        process.communicate(timeout=60)
