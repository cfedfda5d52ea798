"""From rows to the domain's jobs and back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import JSON, Column, ColumnElement, Row, RowMapping, Uuid, and_, or_

from forgehand.application.ports.jobs import NewJob, StoreNewer
from forgehand.domain.jobs import (
    Attempt,
    AttemptOutcome,
    EventKind,
    Job,
    JobProblem,
    JobState,
    Lease,
    Priority,
)
from forgehand.infrastructure.sql.tables import Micros, from_micros, jobs, to_micros

Columns: TypeAlias = RowMapping | dict[str, Any]
"""A row by the names of its columns, in a third of the time of a row's attributes."""

STATES = tuple(state.value for state in JobState)
PRIORITIES = tuple(priority.value for priority in Priority)
OUTCOMES = tuple(outcome.value for outcome in AttemptOutcome)
KINDS = tuple(kind.value for kind in EventKind)
_ON_SQLITE: Sequence[tuple[str, Callable[[Any], Any]]] = [
    (column.name, read)
    for column in jobs.c
    for kind, read in ((Micros, from_micros), (Uuid, UUID), (JSON, json.loads))
    if isinstance(column.type, kind)
]
_TIMES = tuple(column.name for column in jobs.c if isinstance(column.type, Micros))


def job(row: Row[Any]) -> Job:
    """Raise StoreNewer for a row with words that this version does not know."""
    return job_of(columns(row))


def columns(row: Row[Any]) -> Columns:
    return row._mapping  # noqa: SLF001 - public by its documentation


def columns_of_driver(record: Mapping[str, Any]) -> Columns:
    """Of a job's row from `Database.driver`."""
    it = dict(record)
    for name in _TIMES:
        if it[name] is not None:
            it[name] = from_micros(it[name])
    return it


def columns_of_sqlite(record: Mapping[str, Any]) -> Columns:
    """Of a job's row from `Database.write_at_once`."""
    it = dict(record)
    for name, read in _ON_SQLITE:
        if it[name] is not None:
            it[name] = read(it[name])
    return it


def job_of(it: Columns) -> Job:
    """As `job`."""
    if it["state"] not in STATES or it["priority"] not in PRIORITIES:
        raise StoreNewer(f"job {it['id']} was written by a newer version of Forgehand: upgrade this one")
    lease = None
    if it["lease_id"] is not None:
        lease = Lease(job_id=it["id"], id=it["lease_id"], worker_id=it["worker_id"], attempt=it["attempts"])
    return Job(
        id=it["id"],
        type=it["type"],
        state=JobState(it["state"]),
        priority=Priority(it["priority"]),
        request=it["request"],
        schema_version=it["schema_version"],
        submitted_by=it["submitted_by"],
        created_at=it["created_at"],
        run_at=it["run_at"],
        max_attempts=it["max_attempts"],
        attempts=it["attempts"],
        lease=lease,
        started_at=it["started_at"],
        finished_at=it["finished_at"],
        timeout=None if it["timeout_ms"] is None else timedelta(milliseconds=it["timeout_ms"]),
        on_behalf_of=it["on_behalf_of"],
        unique_key=it["unique_key"],
        tags=tuple(tag for tag in it["tags"].split("|") if tag),
        blockers=it["blockers"],
        cancel_at=it["cancel_at"],
        progress=it["progress"],
        note=it["note"],
        result=it["result"],
        problem=problem(it["problem"]),
    )


def tags_text(job: NewJob) -> str:
    """Tags as they are stored: each between bars, so that one is found by its whole."""
    return f"|{'|'.join(job.tags)}|" if job.tags else ""


def timeout_ms(job: NewJob) -> int | None:
    return None if job.timeout is None else round(job.timeout.total_seconds() * 1000)


def attempt(row: Row[Any]) -> Attempt:
    """Raise StoreNewer as above."""
    if row.outcome and row.outcome not in OUTCOMES:
        raise StoreNewer(f"job {row.job_id} was run by a newer version of Forgehand: upgrade this one")
    return Attempt(
        job_id=row.job_id,
        number=row.number,
        lease_id=row.lease_id,
        worker=row.worker,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=AttemptOutcome(row.outcome) if row.outcome else None,
        problem=problem(row.problem),
    )


def problem(value: Mapping[str, Any] | None) -> JobProblem | None:
    return (
        None
        if value is None
        else JobProblem(value.get("kind", "Unknown"), value.get("message", ""), value.get("detail"))
    )


def problem_json(value: JobProblem | None) -> dict[str, str] | None:
    if value is None:
        return None
    parts = {"kind": value.kind, "message": value.message, "detail": value.detail}
    return {name: part for name, part in parts.items() if part is not None}


def to_cursor(at: datetime, row_id: UUID) -> str:
    """An opaque place in a list that is ordered by time and id."""
    return base64.urlsafe_b64encode(f"{to_micros(at)}:{row_id.hex}".encode()).decode().rstrip("=")


def older(at: Column[datetime], row_id: Column[UUID], cursor: str) -> ColumnElement[bool]:
    """What comes after `cursor` in a list from the newest to the oldest. Raise ValueError as below."""
    cursor_at, cursor_id = from_cursor(cursor)
    return or_(at < cursor_at, and_(at == cursor_at, row_id < cursor_id))


def from_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Raise ValueError for a text that `to_cursor` did not make."""
    try:
        micros, _, row_id = (
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
        )
        return from_micros(int(micros)), UUID(row_id)
    except (binascii.Error, UnicodeDecodeError, ValueError, OverflowError):
        raise ValueError(f"not a cursor: {cursor[:80]!r}") from None


def to_position(tx: int, sequence: int) -> str:
    """A place in the stream of all events."""
    return f"{tx}-{sequence}"


def from_position(position: str) -> tuple[int, int]:
    """Raise ValueError for a text that `to_position` did not make."""
    tx, dash, sequence = position.partition("-")
    if not (dash and tx.isascii() and tx.isdigit() and sequence.isascii() and sequence.isdigit()):
        raise ValueError(f"not a position: {position[:80]!r}")
    found = int(tx[:19]), int(sequence[:19])
    if max(found) >= 1 << 63:
        raise ValueError(f"not a position: {position[:80]!r}")
    return found
