"""What the database itself saw: triggers that append every heartbeat and every change of a job's state.

They are written by the transaction that they tell of, so they hold what was accepted and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types

Row: TypeAlias = Mapping[str, Any]

_POSTGRESQL = """
CREATE TABLE chaos_beats (n bigserial PRIMARY KEY, worker uuid, seen_at bigint, at bigint);
CREATE TABLE chaos_writes (n bigserial PRIMARY KEY, job uuid, before text, after text, lease uuid, at bigint);
CREATE FUNCTION chaos_now() RETURNS bigint LANGUAGE sql AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;
CREATE FUNCTION chaos_beat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_beats (worker, seen_at, at) VALUES (NEW.id, NEW.seen_at, chaos_now());
  RETURN NULL; END $$;
CREATE FUNCTION chaos_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_writes (job, before, after, lease, at)
  VALUES (NEW.id, OLD.state, NEW.state, OLD.lease_id, chaos_now()); RETURN NULL; END $$;
CREATE TRIGGER chaos_beat AFTER INSERT OR UPDATE ON forgehand_workers
  FOR EACH ROW EXECUTE FUNCTION chaos_beat();
CREATE TRIGGER chaos_write AFTER UPDATE ON forgehand_jobs FOR EACH ROW
  WHEN (OLD.state <> NEW.state OR OLD.lease_id IS DISTINCT FROM NEW.lease_id
    OR OLD.finished_at IS DISTINCT FROM NEW.finished_at)
  EXECUTE FUNCTION chaos_write();
"""
_SQLITE_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_SQLITE = f"""
CREATE TABLE chaos_beats (n INTEGER PRIMARY KEY, worker, seen_at INTEGER, at INTEGER);
CREATE TABLE chaos_writes (n INTEGER PRIMARY KEY, job, before, after, lease, at INTEGER);
CREATE TRIGGER chaos_first_beat AFTER INSERT ON forgehand_workers BEGIN
  INSERT INTO chaos_beats (worker, seen_at, at) VALUES (NEW.id, NEW.seen_at, {_SQLITE_NOW}); END;
CREATE TRIGGER chaos_beat AFTER UPDATE ON forgehand_workers BEGIN
  INSERT INTO chaos_beats (worker, seen_at, at) VALUES (NEW.id, NEW.seen_at, {_SQLITE_NOW}); END;
CREATE TRIGGER chaos_write AFTER UPDATE ON forgehand_jobs
  WHEN OLD.state <> NEW.state OR OLD.lease_id IS NOT NEW.lease_id
    OR OLD.finished_at IS NOT NEW.finished_at BEGIN
  INSERT INTO chaos_writes (job, before, after, lease, at)
  VALUES (NEW.id, OLD.state, NEW.state, OLD.lease_id, {_SQLITE_NOW}); END;
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A change of a job's state that was committed; `lease` is the one that the job had until then."""

    job: str
    before: str
    after: str
    lease: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that was committed at `at` and says `seen_at`."""

    worker: str
    seen_at: int
    at: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt, as the store has it."""

    lease: str
    job: str
    outcome: str | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the database says."""

    states: dict[str, str]
    attempts: tuple[AttemptRow, ...]
    writes: tuple[Write, ...]
    beats: tuple[Beat, ...]
    terminal_events: dict[str, int]
    paid: dict[str, int]
    results: dict[str, int]


_QUERIES = {
    "jobs": "SELECT id, state, {paid} AS paid FROM forgehand_jobs",
    "attempts": "SELECT lease_id, job_id, outcome, ended_at FROM forgehand_attempts",
    "writes": "SELECT job, before, after, lease, at FROM chaos_writes ORDER BY n",
    "beats": "SELECT worker, seen_at, at FROM chaos_beats ORDER BY n",
    "events": "SELECT job_id, count(*) AS events FROM forgehand_events"
    " WHERE kind IN ('completed', 'failed', 'cancelled') GROUP BY job_id",
    "steps": "SELECT job_id, {step} AS value FROM forgehand_steps",
}


async def install(url: str) -> None:
    """Add the triggers to a database that has been migrated."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(url), timeout=30)) as connection:
            connection.executescript(_SQLITE)
    else:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(_POSTGRESQL)
        finally:
            await connection.close()


async def hear(url: str) -> Evidence:
    """Read it all."""
    rows = {name: list(await _select(url, query)) for name, query in _QUERIES.items()}
    return Evidence(
        states={_hex(it["id"]): it["state"] for it in rows["jobs"]},
        attempts=tuple(
            AttemptRow(_hex(it["lease_id"]), _hex(it["job_id"]), it["outcome"], it["ended_at"])
            for it in rows["attempts"]
        ),
        writes=tuple(
            Write(_hex(it["job"]), it["before"], it["after"], it["lease"] and _hex(it["lease"]), it["at"])
            for it in rows["writes"]
        ),
        beats=tuple(Beat(_hex(it["worker"]), it["seen_at"], it["at"]) for it in rows["beats"]),
        terminal_events={_hex(it["job_id"]): it["events"] for it in rows["events"]},
        paid={_hex(it["job_id"]): int(it["value"]) for it in rows["steps"]},
        results={_hex(it["id"]): int(it["paid"]) for it in rows["jobs"] if it["paid"] is not None},
    )


async def unfinished(url: str) -> int:
    """How many jobs have not ended."""
    query = "SELECT count(*) AS jobs FROM forgehand_jobs WHERE state IN ('pending', 'running')"
    [row] = await _select(url, query)
    return int(row["jobs"])


async def _select(url: str, query: str) -> Sequence[Row]:
    if url.startswith("sqlite"):
        return list(_select_sqlite(_file(url), query))
    query = query.format(paid="result->>'paid'", step="value->>'value'")
    connection = await asyncpg.connect(url, timeout=10)
    try:
        found: Sequence[Row] = await connection.fetch(query)
        return found
    finally:
        await connection.close()


def _select_sqlite(file: str, query: str) -> Iterator[Row]:
    query = query.format(paid="json_extract(result, '$.paid')", step="json_extract(value, '$.value')")
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        yield from (dict(row) for row in connection.execute(query))


def _file(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _hex(value: Any) -> str:
    return str(value).replace("-", "")
