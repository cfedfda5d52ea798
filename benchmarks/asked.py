"""What one benchmarked process is asked to do, and what it answers: one line of JSON.

Standard library alone, since peers live in an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """`action` is drain, submit (one by one) or bulk; `handler` what a job does: noop or incr.

    Ours can also serve: work until its stdin ends.
    """

    action: str
    n: int
    handler: str
    database: str
    redis: str
    slots: int
    namespace: str = "bench"

    @property
    def counter(self) -> str:
        """The Redis key that the `incr` handler counts in."""
        return f"{self.namespace}:counter"


def asked() -> Asked:
    """From the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["drain", "submit", "bulk", "serve"])
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--handler", choices=["noop", "incr"], default="noop")
    parser.add_argument("--database", default="")
    parser.add_argument("--redis", default="")
    parser.add_argument("--slots", type=int, default=100)
    return Asked(**vars(parser.parse_args()))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class Took:
    """Wall clock and CPU time of this process, in seconds, from its making to `stop`."""

    began: float = field(default_factory=time.perf_counter)
    cpu_began: float = field(default_factory=_cpu)
    seconds: float = 0.0
    cpu: float = 0.0

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self.began
        self.cpu = _cpu() - self.cpu_began


async def timed(work: Callable[[], Awaitable[object]]) -> Took:
    took = Took()
    await work()
    took.stop()
    return took


def answer(asked: Asked, took: Took, **counts: int) -> None:
    """Print the figures. Every count has to be `n`, or the run is worth nothing."""
    wrong = {name: count for name, count in counts.items() if count != asked.n}
    if wrong:
        raise SystemExit(f"not exact: {asked.n} jobs, but {wrong}")
    said: dict[str, Any] = {"n": asked.n, "seconds": took.seconds, "cpu": took.cpu, **counts}
    print(json.dumps(said), flush=True)
