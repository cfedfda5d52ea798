"""What is refused, and what fails alone: bad requests, bad rows, bad results, bad clocks, bad databases."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text, update

from forgehand.application.clock import new_id
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import (
    LARGEST_PAYLOAD,
    JobRequest,
    JobResult,
    JobType,
    JobTypes,
    Policy,
    UnknownJobType,
)
from forgehand.application.jobs.running import RunJob
from forgehand.application.jobs.submit import DependencyCycle, InvalidRequest, Order, SubmitJob, Terms
from forgehand.application.ports.jobs import JobFilter, ParentNotFound, StoreNewer, StoreUnavailable
from forgehand.application.ports.leases import Share, Wanted, Worker
from forgehand.application.redaction import Redactor
from forgehand.domain.jobs import Claimed, EventKind, Job, JobState, RateLimit, Settlement
from forgehand.infrastructure.queue import embedded_bell
from forgehand.infrastructure.sql import database as databases
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import prepare
from forgehand.infrastructure.sql.tables import events, jobs
from tests.contracts.job_store import BROKEN, LEASE, Store
from tests.stores import job_store

SECRET = "hunter2-hunter2"
NUL, HALF = "a\0b", "a\ud800b"


class CrateRequest(JobRequest):
    """Anything at all, to see what of it is taken."""

    walls: int = 1
    height: float = 1.0
    content: Any = None


class CrateResult(JobResult):
    """Anything at all, to see what of it is kept."""

    content: Any = None


@dataclass(frozen=True, slots=True)
class Fill:
    """Does what the test says."""

    deed: Any

    async def execute(self, request: CrateRequest, job: JobContext) -> CrateResult:
        return CrateResult(content=await self.deed(job))


CRATE = JobType("crate", CrateRequest, CrateResult, Policy(), Fill)


@dataclass
class Yard:
    """A store, and the words to put jobs into it and to run them."""

    store: Store
    submit_job: SubmitJob
    database: Database

    async def submit(self, terms: Terms | None = None, **parameters: Any) -> UUID:
        submission = await self.submit_job.submit("crate", parameters, by="ada", terms=terms or Terms())
        return submission.job.id

    async def stored(self) -> tuple[Job, ...]:
        return (await self.store.jobs.page(JobFilter())).items

    async def run(self, deed: Any) -> Job:
        """One attempt of the job that is due."""
        worker = await self.store.worker()
        [claimed] = await self.store.claim(worker, 1, "crate")
        settlement = await self.settlement(claimed, deed)
        assert await self.store.settle(worker, settlement) == frozenset()
        return await self.store.jobs.get(claimed.job.id)

    async def settlement(self, claimed: Claimed, deed: Any) -> Settlement:
        types, leases = JobTypes([CRATE]), self.store.leases
        run_job = RunJob(types, lambda _: Fill(deed), leases, self.store.clock, Redactor([SECRET]), lambda: 0)
        settlement = await run_job.run(claimed)
        assert settlement is not None
        return settlement


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    database, bell = Database("sqlite://"), embedded_bell()
    try:
        await prepare(database)
        store = job_store(database)
        yield Yard(store, SubmitJob(JobTypes([CRATE]), store.jobs, bell, store.clock), database)
    finally:
        bell.close()
        await database.close()


# Requests


async def test_an_unknown_type_is_refused_with_the_types_there_are(yard: Yard) -> None:
    with pytest.raises(UnknownJobType, match="'creat'; there are: crate"):
        await yard.submit_job.submit("creat", {}, by="ada")
    assert await yard.stored() == ()


async def test_all_that_is_wrong_is_said_at_once_and_nothing_is_stored(yard: Yard) -> None:
    terms = Terms(
        run_at=datetime(2026, 1, 1),  # noqa: DTZ001 - without a time zone, to be refused
        delay=timedelta(seconds=-1),
        max_attempts=0,
        timeout=timedelta(0),
        tags=("no spaces",),
        unique_key="",
        on_behalf_of="a\nb",
    )
    with pytest.raises(InvalidRequest) as refused:
        await yard.submit(terms, walls="many", height="tall", colour="red")
    fields = "walls height colour run_at delay max_attempts timeout tags unique_key on_behalf_of"
    assert {fault.field for fault in refused.value.faults} == set(fields.split())
    assert await yard.stored() == ()


async def test_one_bad_order_among_many_stores_none(yard: Yard) -> None:
    orders = [Order("crate", {"walls": 1}), Order("crate", {"walls": "many"}), Order("crate", {})]
    with pytest.raises(InvalidRequest, match="walls"):
        await yard.submit_job.submit_many(orders, by="ada")
    assert await yard.stored() == ()


@pytest.mark.parametrize(
    "terms",
    [
        Terms(delay=timedelta.max),
        Terms(timeout=timedelta.max),
        Terms(run_at=datetime(2026, 1, 1, tzinfo=UTC), delay=timedelta(1)),
    ],
)
async def test_terms_that_no_clock_reaches_or_that_contradict_are_refused(yard: Yard, terms: Terms) -> None:
    with pytest.raises(InvalidRequest):
        await yard.submit(terms)


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


def _circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (math.nan, "not JSON"),
        ({"deep": [math.inf]}, "not JSON"),
        (-math.inf, "not JSON"),
        (NUL, "NUL"),
        ({NUL: 1}, "NUL"),
        (HALF, "JSON|surrogate|unicode"),
        (b"\xff\xfe", "not JSON"),
        (object(), "not JSON"),
        (_deep(), "not JSON"),
        (_circle(), "not JSON"),
        (10**5000, "not JSON"),
        ("x" * LARGEST_PAYLOAD, "over 262144"),
        ("ä" * (LARGEST_PAYLOAD // 2), "over 262144"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_payload_that_no_database_stores_is_refused(yard: Yard, content: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await yard.submit(content=content)
    assert await yard.stored() == ()


async def test_a_number_that_is_none_is_refused_by_the_name_of_its_field(yard: Yard) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await yard.submit(height=math.nan)
    assert [fault.field for fault in refused.value.faults] == ["height"]


@pytest.mark.parametrize(
    "content", ["\\u0000", "a \\\\u0000 b", "\x01\x7f", "é\u2028🙂", b"bytes", 2**70, -0.0]
)
async def test_what_only_looks_odd_is_stored_and_comes_back(yard: Yard, content: Any) -> None:
    await yard.submit(content=content)
    [job] = await yard.stored()
    assert job.request["content"] == (content.decode() if isinstance(content, bytes) else content)


async def test_a_payload_of_the_largest_size_is_taken(yard: Yard) -> None:
    frame = len('{"walls": 1, "height": 1.0, "content": ""}')
    await yard.submit(content="x" * (LARGEST_PAYLOAD - frame))
    with pytest.raises(InvalidRequest):
        await yard.submit(content="x" * (LARGEST_PAYLOAD - frame + 1))


# Dependencies


async def test_a_circle_of_dependencies_is_refused_and_nothing_is_stored(yard: Yard) -> None:
    one, two, three = (new_id(yard.store.clock()) for _ in range(3))
    circle = ((one, two), (two, three), (three, one))
    orders = [Order("crate", {}, Terms(job_id=own, after=(other,))) for own, other in circle]
    with pytest.raises(DependencyCycle, match=str(two)):
        await yard.submit_job.submit_many(orders, by="ada")
    with pytest.raises(DependencyCycle):
        await yard.submit(Terms(job_id=one, after=(one,)))
    assert await yard.stored() == ()


async def test_waiting_for_a_job_that_does_not_exist_is_refused_and_nothing_is_stored(yard: Yard) -> None:
    missing = uuid4()
    with pytest.raises(ParentNotFound, match=str(missing)):
        await yard.submit_job.submit_many(
            [Order("crate", {}), Order("crate", {}, Terms(after=(missing,)))], by="ada"
        )
    assert await yard.stored() == ()


# Results and errors


def giving(content: Any) -> Any:
    async def deed(job: JobContext) -> Any:
        return content

    return deed


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (math.nan, "ResultUnstorable"),
        ([math.inf], "ResultUnstorable"),
        (NUL, "ResultUnstorable"),
        (HALF, "ResultUnstorable"),
        (b"\xff", "ResultUnstorable"),
        (object(), "ResultUnstorable"),
        (_deep(), "ResultUnstorable"),
        ("x" * LARGEST_PAYLOAD, "ResultTooLarge"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_result_that_no_database_stores_fails_its_job_alone_and_for_good(
    yard: Yard, content: Any, kind: str
) -> None:
    await yard.submit()
    job = await yard.run(giving(content))
    assert job.problem is not None
    assert (job.state, job.problem.kind, job.result) == (JobState.FAILED, kind, None)


async def test_a_step_that_no_database_stores_fails_its_job_for_good(yard: Yard) -> None:
    async def deed(job: JobContext) -> Any:
        async def work() -> float:
            return math.nan

        return await job.step("measure", work, float)

    await yard.submit()
    job = await yard.run(deed)
    assert job.problem is not None
    assert (job.state, job.problem.kind) == (JobState.FAILED, "ResultUnstorable")
    assert "measure" in job.problem.message


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [ValueError(NUL), ValueError(HALF), Mute(), ValueError("x" * 10**6), OSError()]
)
async def test_whatever_an_error_says_its_attempt_is_settled(yard: Yard, error: Exception) -> None:
    async def deed(job: JobContext) -> Any:
        raise error

    await yard.submit()
    job = await yard.run(deed)
    assert job.problem is not None
    assert (job.state, job.attempts, job.problem.kind) == (JobState.PENDING, 1, type(error).__name__)
    assert len(job.problem.message) <= 2000
    [attempt] = await yard.store.jobs.attempts(job.id)
    assert attempt.problem == job.problem


async def test_no_secret_of_a_chain_of_errors_is_written_down(yard: Yard) -> None:
    token, key, password = "ghp_" + "a" * 36, "sk-" + "b" * 40, "postgresql://ada:pa55word@db/x"

    async def deed(job: JobContext) -> Any:
        try:
            try:
                raise OSError(f"first {SECRET}")  # noqa: TRY301 - a chain is what this is about
            except OSError:
                raise ValueError(f"second {token}")  # noqa: B904 - an implicit context
        except ValueError as context:
            error = RuntimeError(f"third {key}", {"password": SECRET})
            error.add_note(f"note {password}")
            group = ExceptionGroup(f"group {SECRET}", [error, KeyError(token)])
            raise group from context

    await yard.submit()
    job = await yard.run(deed)
    [attempt] = await yard.store.jobs.attempts(job.id)
    told = [dict(event.data) for event in await yard.store.jobs.events(job.id)]
    assert job.problem is not None
    assert job.problem.detail is not None
    for word in ("first", "second", "third", "note", "group"):
        assert word in job.problem.detail
    for secret in (SECRET, token, key, "pa55word"):
        assert secret not in f"{job.problem} {attempt.problem} {told}"


async def test_a_long_trace_is_cut_after_its_secrets_are_blotted_out(yard: Yard) -> None:
    async def deed(job: JobContext) -> Any:
        raise ValueError(SECRET * 2000)

    await yard.submit()
    job = await yard.run(deed)
    assert job.problem is not None
    assert job.problem.detail is not None
    assert len(job.problem.detail) <= 8000
    assert "hunter2" not in f"{job.problem}"


# Rows of a newer version


async def test_a_request_of_a_newer_version_fails_alone_and_says_what_to_do(yard: Yard) -> None:
    newer = await yard.submit()
    await yard.submit(Terms(delay=timedelta(hours=1)))
    await _change(yard, newer, schema_version=2)
    job = await yard.run(giving(1))
    assert job.problem is not None
    assert (job.state, job.problem.kind) == (JobState.FAILED, "RequestUnreadable")
    assert "upgrade this worker" in job.problem.message


@pytest.mark.parametrize("change", [{"state": "hibernating"}, {"priority": 25}], ids=str)
async def test_a_row_with_unknown_words_hinders_no_other(yard: Yard, change: dict[str, Any]) -> None:
    odd, good = await yard.submit(), await yard.submit()
    await _change(yard, odd, **change)
    assert [job.id for job in await yard.stored()] == [good]
    assert {count.state for count in await yard.store.control.counts()} == {JobState.PENDING}
    with pytest.raises(StoreNewer, match=str(odd)):
        await yard.store.jobs.get(odd)
    worker = await yard.store.worker()
    assert [it.job.id for it in await yard.store.claim(worker, 9, "crate")] == [good]
    assert [it.job.id for it in await yard.store.leases.held(worker)] == [good]
    await yard.store.upkeep.sweep(yard.store.clock(), LEASE)
    assert [job.id for job in await yard.store.control.cancel(JobFilter(), yard.store.clock())] == [good]


async def test_an_event_of_an_unknown_kind_hinders_no_other(yard: Yard) -> None:
    id_ = await yard.submit()
    now = yard.store.clock()
    async with yard.database.write() as connection:
        row = {"job_id": id_, "at": now, "kind": "levitated", "data": {}}
        await connection.execute(insert(events).values(row))
    await yard.store.control.cancel(JobFilter(), now)
    expected = [EventKind.SUBMITTED, EventKind.CANCELLED]
    assert await yard.store.kinds(id_) == expected
    assert [it.event.kind for it in await yard.store.jobs.stream()] == expected


async def test_a_problem_and_a_request_of_another_shape_fail_alone(yard: Yard) -> None:
    id_ = await yard.submit()
    await _change(yard, id_, problem={"code": 7}, request=["no", "object"])
    [listed] = await yard.stored()
    assert listed.problem is not None
    job = await yard.run(giving(1))
    assert job.problem is not None
    assert job.problem.kind == "RequestUnreadable"


async def _change(yard: Yard, job_id: UUID, **values: Any) -> None:
    async with yard.database.write() as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


# Clocks that jump


async def test_a_clock_put_forward_doubles_no_claim(yard: Yard) -> None:
    """Every worker looks dead at once: the job changes hands, and what the first one writes is refused."""
    await yard.submit()
    store = yard.store
    first = await store.worker()
    [old] = await store.claim(first, 1, "crate")
    store.clock.pass_(hours=5)
    second = await store.worker()
    await store.upkeep.sweep(store.clock(), LEASE)
    [new] = await store.claim(second, 1, "crate")
    assert await store.settle(first, old.complete({}, store.clock())) == {old.lease.id}
    assert await store.settle(second, new.complete({}, store.clock())) == frozenset()
    assert (await store.jobs.get(old.job.id)).attempts == 2


async def test_a_clock_put_back_costs_no_live_worker_its_jobs(yard: Yard) -> None:
    await yard.submit()
    store = yard.store
    worker = await store.worker()
    [claimed] = await store.claim(worker, 1, "crate")
    store.clock.pass_(hours=-5)
    assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 0
    assert await store.settle(worker, claimed.complete({}, store.clock())) == frozenset()


async def test_a_clock_put_back_keeps_no_dead_worker_alive(yard: Yard) -> None:
    id_ = await yard.submit()
    store = yard.store
    await store.claim(await store.worker(), 1, "crate")
    store.clock.pass_(hours=-5)
    await store.upkeep.sweep(store.clock(), LEASE)
    store.clock.pass_(seconds=LEASE.total_seconds() + 1)
    assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 1
    assert [it.job.id for it in await store.claim(await store.worker(), 1, "crate")] == [id_]


async def test_a_clock_put_back_loses_no_retry(yard: Yard) -> None:
    id_ = await yard.submit()
    store = yard.store
    worker = await store.worker()
    [claimed] = await store.claim(worker, 1, "crate")
    await store.settle(worker, claimed.try_again(BROKEN, store.clock(), timedelta(seconds=5)))
    store.clock.pass_(hours=-1)
    assert await store.claim(worker, 1, "crate") == []
    store.clock.pass_(hours=1, seconds=5)
    assert [it.job.id for it in await store.claim(worker, 1, "crate")] == [id_]


async def test_a_clock_put_back_holds_up_no_rate_for_longer_than_its_window(yard: Yard) -> None:
    store = yard.store
    worker = await store.worker()
    wanted = Share("crate", 9, rate=RateLimit(2, timedelta(minutes=1)))

    async def start() -> int:
        for _ in range(3):
            await yard.submit()
        exchange = await store.leases.exchange(
            worker, [], Wanted([wanted], [uuid4() for _ in range(9)]), store.clock()
        )
        return len(exchange.claimed)

    assert [await start(), await start()] == [2, 0]
    store.clock.pass_(hours=-5)
    assert [await start(), await start()] == [2, 0]
    store.clock.pass_(seconds=61)
    assert await start() == 2


# Databases


async def test_a_database_that_goes_read_only_half_way_is_told_and_loses_nothing(yard: Yard) -> None:
    id_ = await yard.submit()
    store = yard.store
    worker = await store.worker()
    [claimed] = await store.claim(worker, 1, "crate")
    await _pragma(yard.database, "query_only = ON")
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.settle(worker, claimed.complete({}, store.clock()))
    with pytest.raises(StoreUnavailable, match="readonly"):
        await yard.submit()
    assert (await store.jobs.get(id_)).state is JobState.RUNNING
    await _pragma(yard.database, "query_only = OFF")
    assert await store.settle(worker, claimed.complete({}, store.clock())) == frozenset()
    assert (await store.jobs.get(id_)).state is JobState.COMPLETED


async def _pragma(database: Database, setting: str) -> None:
    async with database.read() as connection:
        await connection.execute(text(f"PRAGMA {setting}"))


async def test_a_database_that_another_program_locks_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_BUSY_MS", 50)
    database = Database(f"sqlite:///{tmp_path / 'locked.db'}")
    other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    try:
        await prepare(database)
        store = job_store(database)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.submit(store.new())
        other.execute("ROLLBACK")
        await store.submit(store.new())
    finally:
        other.close()
        await database.close()


async def test_a_pool_without_a_free_connection_is_told_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'busy.db'}")
    try:
        await prepare(database)
        store = job_store(database)
        monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
        async with asyncio.timeout(10):
            held = [await database.engine.connect() for _ in range(4)]
            with pytest.raises(StoreUnavailable, match="no free connection"):
                await store.jobs.page(JobFilter())
            for connection in held:
                await connection.close()
            assert (await store.jobs.page(JobFilter())).items == ()
    finally:
        await database.close()


async def test_a_worker_that_never_registered_gets_jobs_that_a_sweep_takes_back(yard: Yard) -> None:
    await yard.submit()
    [claimed] = await yard.store.claim(Worker(uuid4(), "nobody"), 1, "crate")
    assert (await yard.store.upkeep.sweep(yard.store.clock(), LEASE)).rescued == 1
    assert (await yard.store.jobs.get(claimed.job.id)).state is JobState.PENDING


async def test_a_settlement_that_comes_twice_in_one_exchange_ends_the_job_once(yard: Yard) -> None:
    await yard.submit()
    worker = await yard.store.worker()
    [claimed] = await yard.store.claim(worker, 1, "crate")
    done = claimed.complete({}, yard.store.clock())
    assert await yard.store.settle(worker, done, done) == frozenset()
    assert (await yard.store.kinds(claimed.job.id)).count(EventKind.COMPLETED) == 1
