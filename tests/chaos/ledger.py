"""The ledger of effects: one append-only file per process, outside every database."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from forgehand.domain.jobs import Lease


def micros() -> int:
    """The machine's clock, as every process here reads it: microseconds since 1970."""
    return time.time_ns() // 1000


class Ledger:
    """Where one process writes. What it wrote outlives its SIGKILL: the kernel has it."""

    def __init__(self, folder: Path, process: str) -> None:
        self.process = process
        self._file = os.open(folder / f"{process}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(self, lease: Lease) -> None:
        """A handler starts to have effects."""
        self._append(
            what="begin",
            job=lease.job_id.hex,
            attempt=lease.attempt,
            lease=lease.id.hex,
            worker=lease.worker_id.hex,
        )

    def end(self, lease: Lease, how: str) -> None:
        """A handler had its last effect. `how`: done, failed or cancelled."""
        self._append(what="end", lease=lease.id.hex, how=how)

    def submitted(self, job: UUID, ends: frozenset[str]) -> None:
        """A submission was acknowledged, of a job that has to come to one of these states."""
        self._append(what="submitted", job=job.hex, ends=sorted(ends))

    def paid(self, job: UUID, value: int) -> None:
        """The work of a step was done."""
        self._append(what="paid", job=job.hex, value=value)

    def _append(self, **line: Any) -> None:
        os.write(self._file, json.dumps({**line, "at": micros(), "process": self.process}).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a handler, from its first effect to its last. Without an end: killed, or running."""

    job: str
    attempt: int
    lease: str
    worker: str
    process: str
    start: int
    end: int | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """All that the ledgers say."""

    executions: tuple[Execution, ...]
    submitted: dict[str, frozenset[str]]
    paid: dict[str, frozenset[int]]


def read(folder: Path) -> Effects:
    """Put the files of all processes together. A begin without its end stays without."""
    executions: list[Execution] = []
    submitted: dict[str, frozenset[str]] = {}
    paid: dict[str, frozenset[int]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        executions += _executions(lines)
        submitted |= {it["job"]: frozenset(it["ends"]) for it in lines if it["what"] == "submitted"}
        for line in lines:
            if line["what"] == "paid":
                paid[line["job"]] = paid.get(line["job"], frozenset()) | {line["value"]}
    return Effects(tuple(executions), submitted, paid)


def _executions(lines: list[dict[str, Any]]) -> Iterator[Execution]:
    """A lease that began twice in one process gives its ends in the order of its beginnings."""
    ends: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line["what"] == "end":
            ends.setdefault(line["lease"], []).append(line)
    for line in lines:
        if line["what"] == "begin":
            left = ends.get(line["lease"], [])
            end = left.pop(0) if left else {"at": None, "how": None}
            yield Execution(
                line["job"],
                line["attempt"],
                line["lease"],
                line["worker"],
                line["process"],
                line["at"],
                end["at"],
                end["how"],
            )
