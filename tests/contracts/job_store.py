"""What every job store promises: Jobs for those who submit, Leases for those who run."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from forgehand.application.clock import new_id
from forgehand.application.ports.jobs import (
    IdempotencyConflict,
    IdempotencyKey,
    JobControl,
    JobFilter,
    JobIdTaken,
    JobNotFound,
    Jobs,
    NewJob,
    ParentNotFound,
)
from forgehand.application.ports.leases import LeaseLost, Leases, Share, Wanted, Worker
from forgehand.application.ports.upkeep import Upkeep
from forgehand.domain.jobs import (
    AttemptOutcome,
    Claimed,
    EventKind,
    JobProblem,
    JobState,
    ParentPolicy,
    Priority,
    RateLimit,
    Settlement,
)
from tests.clocks import HandClock

LEASE = timedelta(seconds=30)
BROKEN = JobProblem("Broken", "it broke")


@dataclass
class Store:
    """An adapter under test, with the words to drive it."""

    jobs: Jobs
    control: JobControl
    leases: Leases
    upkeep: Upkeep
    clock: HandClock

    def new(self, type: str = "paint", **fields: Any) -> NewJob:  # noqa: A002 - the field's name
        defaults: dict[str, Any] = {
            "id": new_id(self.clock.pass_(milliseconds=1)),
            "type": type,
            "request": {"colour": "red"},
            "schema_version": 1,
            "submitted_by": "ada",
            "run_at": self.clock(),
            "max_attempts": 3,
        }
        return NewJob(**{**defaults, **fields})

    async def submit(self, *jobs: NewJob) -> list[UUID]:
        return [it.job.id for it in await self.jobs.submit(jobs)]

    async def worker(self, label: str = "host:1") -> Worker:
        worker = Worker(uuid4(), label)
        await self.upkeep.beat(worker, self.clock())
        return worker

    async def claim(
        self, worker: Worker, slots: int = 1, *queues: str, only: UUID | None = None
    ) -> list[Claimed]:
        shares = [Share(queue, slots) for queue in queues or ("paint",)]
        wanted = Wanted(shares, [uuid4() for _ in range(slots)], only)
        return list((await self.leases.exchange(worker, [], wanted, self.clock())).claimed)

    async def settle(self, worker: Worker, *settlements: Settlement) -> frozenset[UUID]:
        return (await self.leases.exchange(worker, settlements, None, self.clock())).lost

    async def kinds(self, job_id: UUID) -> list[EventKind]:
        return [event.kind for event in await self.jobs.events(job_id)]


class JobStoreContract:
    """Subclass with a fixture `store`."""

    async def test_a_submitted_job_is_pending_and_can_be_read_back(self, store: Store) -> None:
        new = store.new(priority=Priority.HIGH, on_behalf_of="bob", timeout=timedelta(seconds=90))
        [submission] = await store.jobs.submit([new])
        job = await store.jobs.get(new.id)
        assert submission.created
        assert submission.job == job
        assert (job.state, job.type, job.request) == (JobState.PENDING, "paint", {"colour": "red"})
        assert (job.priority, job.on_behalf_of, job.timeout) == (Priority.HIGH, "bob", timedelta(seconds=90))
        assert await store.kinds(new.id) == [EventKind.SUBMITTED]

    async def test_a_job_that_was_never_submitted_is_not_found(self, store: Store) -> None:
        with pytest.raises(JobNotFound):
            await store.jobs.get(uuid4())

    async def test_submitting_the_same_id_and_request_again_changes_nothing(self, store: Store) -> None:
        new = store.new()
        await store.submit(new)
        [again] = await store.jobs.submit([new])
        assert not again.created
        assert again.job.id == new.id
        assert await store.kinds(new.id) == [EventKind.SUBMITTED]

    async def test_an_id_in_use_by_another_job_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        taken, innocent = store.new(), store.new()
        await store.submit(taken)
        with pytest.raises(JobIdTaken):
            await store.jobs.submit([innocent, replace(taken, request={"colour": "blue"})])
        with pytest.raises(JobNotFound):
            await store.jobs.get(innocent.id)

    async def test_a_unique_key_gives_the_job_that_has_it_until_that_ends(self, store: Store) -> None:
        first, second, third = (store.new(unique_key="wall") for _ in range(3))
        await store.submit(first)
        [shared] = await store.jobs.submit([second])
        assert (shared.job.id, shared.created) == (first.id, False)
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        assert await store.submit(second) == [first.id]
        await store.settle(worker, claimed.complete({}, store.clock()))
        assert await store.submit(third) == [third.id]

    async def test_unique_keys_of_two_types_do_not_meet(self, store: Store) -> None:
        one, other = store.new("paint", unique_key="wall"), store.new("sand", unique_key="wall")
        assert await store.submit(one, other) == [one.id, other.id]

    async def test_concurrent_submissions_of_one_unique_key_make_one_job(self, store: Store) -> None:
        new = [store.new(unique_key="wall") for _ in range(8)]
        found = await asyncio.gather(*(store.jobs.submit([job]) for job in new))
        assert len({it.job.id for [it] in found}) == 1
        assert sum(it.created for [it] in found) == 1

    async def test_an_idempotency_key_gives_the_first_job_for_a_day(self, store: Store) -> None:
        key = IdempotencyKey("ada", "k1", "digest")
        first = store.new(idempotency=key)
        await store.submit(first)
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.complete({}, store.clock()))
        assert await store.submit(store.new(idempotency=key)) == [first.id]
        store.clock.pass_(hours=24)
        later = store.new(idempotency=key)
        assert await store.submit(later) == [later.id]

    async def test_an_idempotency_key_with_another_request_is_a_conflict(self, store: Store) -> None:
        await store.submit(store.new(idempotency=IdempotencyKey("ada", "k1", "one")))
        with pytest.raises(IdempotencyConflict):
            await store.submit(store.new(idempotency=IdempotencyKey("ada", "k1", "two")))
        bobs = store.new(idempotency=IdempotencyKey("bob", "k1", "two"))
        assert await store.submit(bobs) == [bobs.id]

    async def test_many_jobs_are_submitted_at_once_in_their_order(self, store: Store) -> None:
        new = [store.new() for _ in range(300)]
        assert await store.submit(*new) == [job.id for job in new]

    async def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(self, store: Store) -> None:
        ids = []
        for _ in range(7):
            ids += await store.submit(store.new())
        seen: list[UUID] = []
        cursor = None
        while True:
            page = await store.jobs.page(JobFilter(), limit=3, cursor=cursor)
            seen += [job.id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == ids[::-1]

    async def test_a_page_can_be_restricted(self, store: Store) -> None:
        [paint] = await store.submit(store.new("paint"))
        [sand] = await store.submit(store.new("sand", submitted_by="bob"))
        worker = await store.worker()
        await store.claim(worker, 1, "paint")

        async def listed(**fields: Any) -> list[UUID]:
            return [job.id for job in (await store.jobs.page(JobFilter(**fields))).items]

        assert await listed(types=["sand"]) == [sand]
        assert await listed(states=[JobState.RUNNING]) == [paint]
        assert await listed(submitted_by="bob") == [sand]
        assert await listed(types=["sand"], states=[JobState.RUNNING]) == []

    async def test_a_foreign_cursor_is_refused(self, store: Store) -> None:
        for cursor in ("", "x", "!!!", "é", "MTIz", "a" * 5000):
            with pytest.raises(ValueError, match="cursor"):
                await store.jobs.page(JobFilter(), cursor=cursor)

    async def test_claiming_takes_the_highest_priority_first_then_the_oldest(self, store: Store) -> None:
        low, old, new, urgent = await store.submit(
            store.new(priority=Priority.LOW),
            store.new(),
            store.new(),
            store.new(priority=Priority.URGENT),
        )
        worker = await store.worker()
        assert [it.job.id for it in await store.claim(worker, 3)] == [urgent, old, new]
        assert [it.job.id for it in await store.claim(worker, 3)] == [low]

    async def test_a_claim_is_a_running_job_with_a_lease_an_attempt_and_an_event(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker = await store.worker("there:7")
        [claimed] = await store.claim(worker)
        job = await store.jobs.get(id_)
        assert job == claimed.job
        assert (job.state, job.attempts, job.lease) == (JobState.RUNNING, 1, claimed.lease)
        assert claimed.lease.worker_id == worker.id
        [attempt] = await store.jobs.attempts(id_)
        assert (attempt.number, attempt.worker, attempt.outcome) == (1, "there:7", None)
        assert (await store.kinds(id_))[-1] is EventKind.STARTED

    async def test_only_jobs_of_the_wanted_queues_that_are_due_are_claimed(self, store: Store) -> None:
        later = store.clock() + timedelta(minutes=5)
        await store.submit(store.new("sand"), store.new(run_at=later))
        worker = await store.worker()
        assert await store.claim(worker, 5) == []
        store.clock.now = later
        assert len(await store.claim(worker, 5)) == 1

    async def test_one_named_job_can_be_claimed_or_nothing(self, store: Store) -> None:
        first, second = await store.submit(store.new(), store.new())
        worker = await store.worker()
        assert [it.job.id for it in await store.claim(worker, only=second)] == [second]
        assert await store.claim(worker, only=second) == []
        assert (await store.jobs.get(first)).state is JobState.PENDING

    async def test_concurrent_workers_never_share_a_job(self, store: Store) -> None:
        ids = await store.submit(*(store.new() for _ in range(60)))
        workers = [await store.worker(f"w{n}") for n in range(6)]
        taken = await asyncio.gather(*(store.claim(worker, 7) for worker in workers for _ in range(2)))
        claimed = [it.job.id for batch in taken for it in batch]
        assert len(claimed) == len(set(claimed))
        assert set(claimed) <= set(ids)
        rest = await store.claim(workers[0], 60)
        assert {it.job.id for it in rest} | set(claimed) == set(ids)

    async def test_completing_keeps_the_result(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        store.clock.pass_(seconds=2)
        assert (
            await store.settle(worker, claimed.complete({"walls": [1, "zwei"]}, store.clock())) == frozenset()
        )
        job = await store.jobs.get(id_)
        assert (job.state, job.result, job.progress) == (JobState.COMPLETED, {"walls": [1, "zwei"]}, 100)
        assert (job.finished_at, job.lease) == (store.clock(), None)
        [attempt] = await store.jobs.attempts(id_)
        assert (attempt.outcome, attempt.ended_at) == (AttemptOutcome.COMPLETED, store.clock())
        assert (await store.kinds(id_))[-1] is EventKind.COMPLETED

    async def test_a_retry_waits_and_then_counts_a_second_attempt(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.try_again(BROKEN, store.clock(), timedelta(seconds=4)))
        job = await store.jobs.get(id_)
        assert (job.state, job.condition(store.clock()), job.problem) == (
            JobState.PENDING,
            "retrying",
            BROKEN,
        )
        assert await store.claim(worker) == []
        store.clock.pass_(seconds=4)
        [second] = await store.claim(worker)
        assert second.lease.attempt == 2
        assert [it.outcome for it in await store.jobs.attempts(id_)] == [AttemptOutcome.FAILED, None]
        assert EventKind.RETRYING in await store.kinds(id_)

    async def test_a_job_without_attempts_left_is_dead(self, store: Store) -> None:
        [id_] = await store.submit(store.new(max_attempts=1))
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.try_again(BROKEN, store.clock(), timedelta(seconds=4)))
        job = await store.jobs.get(id_)
        assert (job.state, job.condition(store.clock()), job.problem) == (JobState.FAILED, "dead", BROKEN)
        assert await store.claim(worker) == []

    async def test_handing_back_does_not_spend_the_attempt(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.hand_back(store.clock()))
        assert (await store.jobs.get(id_)).attempts == 0
        [again] = await store.claim(worker)
        assert again.lease.attempt == 1
        assert [it.outcome for it in await store.jobs.attempts(id_)] == [AttemptOutcome.RETURNED, None]

    async def test_settling_and_claiming_go_in_one_exchange(self, store: Store) -> None:
        await store.submit(store.new(), store.new())
        worker = await store.worker()
        [first] = await store.claim(worker)
        wanted = Wanted([Share("paint", 1)], [uuid4()])
        exchange = await store.leases.exchange(
            worker, [first.complete({}, store.clock())], wanted, store.clock()
        )
        assert exchange.lost == frozenset()
        assert [it.job.id for it in exchange.claimed] != [first.job.id]
        assert (await store.jobs.get(first.job.id)).state is JobState.COMPLETED

    async def test_a_settlement_under_a_lost_lease_changes_nothing_and_is_told(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        slow, quick = await store.worker("slow"), await store.worker("quick")
        [stale] = await store.claim(slow)
        store.clock.pass_(seconds=31)
        await store.upkeep.beat(quick, store.clock())
        await store.upkeep.sweep(store.clock(), LEASE)
        [fresh] = await store.claim(quick)
        assert await store.settle(slow, stale.complete({"by": "slow"}, store.clock())) == {stale.lease.id}
        assert (await store.jobs.get(id_)).state is JobState.RUNNING
        assert await store.settle(quick, fresh.complete({"by": "quick"}, store.clock())) == frozenset()
        assert (await store.jobs.get(id_)).result == {"by": "quick"}
        assert (await store.kinds(id_)).count(EventKind.COMPLETED) == 1

    async def test_settling_twice_is_refused_the_second_time(self, store: Store) -> None:
        await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        done = claimed.complete({}, store.clock())
        await store.settle(worker, done)
        assert await store.settle(worker, done) == {claimed.lease.id}
        assert (await store.kinds(claimed.job.id)).count(EventKind.COMPLETED) == 1

    async def test_a_stale_settlement_does_not_hold_back_a_good_one(self, store: Store) -> None:
        await store.submit(store.new(), store.new())
        worker = await store.worker()
        first, second = await store.claim(worker, 2)
        await store.settle(worker, first.complete({}, store.clock()))
        lost = await store.settle(
            worker, first.complete({}, store.clock()), second.complete({}, store.clock())
        )
        assert lost == {first.lease.id}
        assert (await store.jobs.get(second.job.id)).state is JobState.COMPLETED

    async def test_a_worker_can_look_up_what_it_holds(self, store: Store) -> None:
        await store.submit(store.new(), store.new())
        worker, other = await store.worker("a"), await store.worker("b")
        [mine] = await store.claim(worker)
        await store.claim(other)
        assert [it.lease for it in await store.leases.held(worker)] == [mine.lease]

    async def test_progress_is_on_the_job_and_in_its_events(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        [claimed] = await store.claim(await store.worker())
        await store.leases.report(
            claimed.lease, EventKind.PROGRESS, {"percent": 40, "note": "half a wall"}, store.clock()
        )
        job = await store.jobs.get(id_)
        assert (job.progress, job.note) == (40, "half a wall")
        [*_, event] = await store.jobs.events(id_)
        assert (event.kind, event.data["percent"]) == (EventKind.PROGRESS, 40)

    async def test_events_are_read_on_from_a_sequence(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        [claimed] = await store.claim(await store.worker())
        for n in range(5):
            await store.leases.report(claimed.lease, EventKind.LOG, {"message": str(n)}, store.clock())
        events = await store.jobs.events(id_)
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))
        assert await store.jobs.events(id_, after=sequences[3], limit=2) == events[4:6]

    async def test_nothing_is_written_under_a_lost_lease(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.hand_back(store.clock()))
        before = await store.jobs.events(id_)
        for kind, data in ((EventKind.LOG, {"message": "x"}), (EventKind.PROGRESS, {"percent": 9})):
            with pytest.raises(LeaseLost):
                await store.leases.report(claimed.lease, kind, data, store.clock())
        with pytest.raises(LeaseLost):
            await store.leases.remember(claimed.lease, "step", {"value": 1})
        assert await store.jobs.events(id_) == before
        assert await store.leases.recall(claimed.lease, "step") is None

    async def test_a_later_attempt_recalls_what_an_earlier_one_remembered(self, store: Store) -> None:
        await store.submit(store.new())
        worker = await store.worker()
        [first] = await store.claim(worker)
        assert await store.leases.recall(first.lease, "narrative") is None
        await store.leases.remember(first.lease, "narrative", {"value": "once"})
        await store.leases.remember(first.lease, "narrative", {"value": "twice"})
        await store.settle(worker, first.try_again(BROKEN, store.clock(), timedelta(0)))
        [second] = await store.claim(worker)
        assert await store.leases.recall(second.lease, "narrative") == {"value": "once"}
        assert await store.leases.recall(second.lease, "other") is None

    async def test_the_jobs_of_a_worker_not_seen_are_rescued_as_a_spent_attempt(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        gone = await store.worker()
        await store.claim(gone)
        store.clock.pass_(seconds=29)
        assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 0
        store.clock.pass_(seconds=2)
        swept = await store.upkeep.sweep(store.clock(), LEASE)
        assert (swept.rescued, set(swept.due)) == (1, {"paint"})
        job = await store.jobs.get(id_)
        assert (job.state, job.attempts, job.lease) == (JobState.PENDING, 1, None)
        assert [it.outcome for it in await store.jobs.attempts(id_)] == [AttemptOutcome.LOST]
        assert (await store.kinds(id_))[-1] is EventKind.LOST
        assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 0

    async def test_a_worker_that_beats_keeps_its_jobs(self, store: Store) -> None:
        await store.submit(store.new())
        worker = await store.worker()
        await store.claim(worker)
        for _ in range(5):
            store.clock.pass_(seconds=20)
            await store.upkeep.beat(worker, store.clock())
            assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 0

    async def test_a_job_that_keeps_killing_its_worker_ends_dead(self, store: Store) -> None:
        [id_] = await store.submit(store.new(max_attempts=2))
        for _ in range(2):
            [_claimed] = await store.claim(await store.worker())
            store.clock.pass_(seconds=31)
            assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 1
        job = await store.jobs.get(id_)
        assert (job.state, job.condition(store.clock())) == (JobState.FAILED, "dead")
        assert job.finished_at == store.clock()
        assert job.problem is not None
        assert (await store.kinds(id_))[-1] is EventKind.FAILED

    async def test_a_sweep_finds_the_work_that_nobody_heard_of(self, store: Store) -> None:
        await store.submit(store.new("sand"), store.new(run_at=store.clock() + timedelta(hours=1)))
        assert (await store.upkeep.sweep(store.clock(), LEASE)).due == {"sand"}

    async def test_sweeps_at_once_rescue_a_job_once(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        await store.claim(await store.worker())
        store.clock.pass_(seconds=31)
        swept = await asyncio.gather(*(store.upkeep.sweep(store.clock(), LEASE) for _ in range(5)))
        assert sum(it.rescued for it in swept) == 1
        assert (await store.kinds(id_)).count(EventKind.LOST) == 1

    async def test_a_queues_share_bounds_what_is_claimed_of_it(self, store: Store) -> None:
        await store.submit(*(store.new() for _ in range(4)), *(store.new("sand") for _ in range(4)))
        worker = await store.worker()
        wanted = Wanted([Share("paint", 1), Share("sand", 3)], [uuid4() for _ in range(9)])
        exchange = await store.leases.exchange(worker, [], wanted, store.clock())
        assert Counter(it.job.type for it in exchange.claimed) == {"paint": 1, "sand": 3}

    async def test_no_more_of_a_type_run_at_once_than_allowed_however_many_claim(self, store: Store) -> None:
        await store.submit(*(store.new() for _ in range(12)))
        workers = [await store.worker(f"w{n}") for n in range(4)]

        async def claim(worker: Worker) -> list[Claimed]:
            wanted = Wanted([Share("paint", 5, running=3)], [uuid4() for _ in range(5)])
            return list((await store.leases.exchange(worker, [], wanted, store.clock())).claimed)

        taken = [it for batch in await asyncio.gather(*map(claim, workers)) for it in batch]
        assert len(taken) == 3
        [worker] = [it for it in workers if it.id == taken[0].lease.worker_id]
        await store.settle(worker, taken[0].complete({}, store.clock()))
        assert len(await claim(workers[0])) == 1

    async def test_limited_queues_share_a_workers_slots_by_priority_too(self, store: Store) -> None:
        later = store.new("sand", priority=Priority.LOW)
        first, second = store.new("saw", priority=Priority.URGENT), store.new("sand", priority=Priority.HIGH)
        await store.submit(later, first, second)
        worker = await store.worker()
        shares = [Share(queue, 9, running=5, rate=RateLimit(5)) for queue in ("paint", "sand", "saw")]
        wanted = Wanted(shares, [uuid4(), uuid4()])
        claimed = (await store.leases.exchange(worker, [], wanted, store.clock())).claimed
        assert [it.job.id for it in claimed] == [first.id, second.id]

    async def test_no_more_of_a_type_start_in_a_window_than_allowed_however_many_claim(
        self, store: Store
    ) -> None:
        await store.submit(*(store.new() for _ in range(20)))
        workers = [await store.worker(f"w{n}") for n in range(4)]
        rate = RateLimit(5, timedelta(seconds=60))

        async def claim(worker: Worker) -> list[Claimed]:
            wanted = Wanted([Share("paint", 4, rate=rate)], [uuid4() for _ in range(4)])
            return list((await store.leases.exchange(worker, [], wanted, store.clock())).claimed)

        assert sum(map(len, await asyncio.gather(*map(claim, workers)))) == 5
        store.clock.pass_(seconds=59)
        assert await claim(workers[0]) == []
        store.clock.pass_(seconds=1)
        assert sum(map(len, await asyncio.gather(*map(claim, workers)))) == 5

    async def test_a_paused_type_is_not_claimed_until_it_is_resumed(self, store: Store) -> None:
        await store.submit(store.new(), store.new("sand"))
        worker = await store.worker()
        for _ in range(2):
            await store.control.pause("paint", store.clock())
        assert await store.control.paused() == frozenset({"paint"})
        assert [it.job.type for it in await store.claim(worker, 5, "paint", "sand")] == ["sand"]
        limited = Wanted([Share("paint", 1, running=9)], [uuid4()])
        assert (await store.leases.exchange(worker, [], limited, store.clock())).claimed == ()
        await store.control.resume("paint")
        assert await store.control.paused() == frozenset()
        assert len(await store.claim(worker, 5)) == 1

    async def test_a_pending_job_is_cancelled_at_once(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        [job] = await store.control.cancel(JobFilter(ids=[id_]), store.clock())
        assert (job.id, job.state, job.finished_at) == (id_, JobState.CANCELLED, store.clock())
        assert await store.claim(await store.worker()) == []
        assert await store.control.cancel(JobFilter(ids=[id_]), store.clock()) == []
        assert await store.kinds(id_) == [EventKind.SUBMITTED, EventKind.CANCELLED]

    async def test_a_running_jobs_worker_is_told_that_it_is_unwanted(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        worker, other = await store.worker("a"), await store.worker("b")
        [claimed] = await store.claim(worker)
        [job] = await store.control.cancel(JobFilter(ids=[id_]), store.clock())
        assert (job.state, job.condition(store.clock())) == (JobState.RUNNING, "cancelling")
        told = await store.leases.exchange(worker, [], None, store.clock())
        assert told.cancelled == frozenset({claimed.lease.id})
        assert (await store.leases.exchange(other, [], None, store.clock())).cancelled == frozenset()
        await store.settle(worker, claimed.cancel(store.clock()))
        job = await store.jobs.get(id_)
        assert (job.state, job.finished_at) == (JobState.CANCELLED, store.clock())
        assert (await store.leases.exchange(worker, [], None, store.clock())).cancelled == frozenset()
        assert (await store.kinds(id_))[-2:] == [EventKind.CANCELLING, EventKind.CANCELLED]

    async def test_an_unwanted_job_that_would_be_tried_again_or_handed_back_is_cancelled(
        self, store: Store
    ) -> None:
        await store.submit(*(store.new() for _ in range(3)))
        worker = await store.worker()
        claimed = await store.claim(worker, 3)
        await store.control.cancel(JobFilter(), store.clock())
        now = store.clock.pass_(seconds=1)
        first, second, third = claimed
        lost = await store.settle(
            worker,
            first.try_again(BROKEN, now, timedelta(hours=1)),
            second.hand_back(now),
            third.complete({"painted": 1}, now),
        )
        assert not lost
        jobs = [await store.jobs.get(it.job.id) for it in claimed]
        assert [job.state for job in jobs] == [JobState.CANCELLED, JobState.CANCELLED, JobState.COMPLETED]
        assert [job.finished_at for job in jobs] == [now] * 3
        assert [(await store.kinds(job.id))[-1] for job in jobs] == [
            EventKind.CANCELLED,
            EventKind.CANCELLED,
            EventKind.COMPLETED,
        ]

    async def test_an_unwanted_job_of_a_dead_worker_is_cancelled_not_rescued(self, store: Store) -> None:
        [id_] = await store.submit(store.new())
        await store.claim(await store.worker())
        await store.control.cancel(JobFilter(ids=[id_]), store.clock())
        store.clock.pass_(seconds=31)
        await store.upkeep.sweep(store.clock(), LEASE)
        assert (await store.jobs.get(id_)).state is JobState.CANCELLED

    async def test_many_jobs_are_cancelled_by_what_they_have_in_common(self, store: Store) -> None:
        tagged = await store.submit(*(store.new(tags=("release", "v1")) for _ in range(3)))
        await store.submit(store.new(tags=("release-notes",)), store.new())
        cancelled = await store.control.cancel(JobFilter(tag="release"), store.clock())
        assert [job.id for job in cancelled] == tagged

    async def test_a_dead_job_can_be_replayed_with_all_its_attempts(self, store: Store) -> None:
        [id_] = await store.submit(store.new(max_attempts=1))
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.fail(BROKEN, store.clock()))
        [job] = await store.control.replay(JobFilter(ids=[id_]), store.clock())
        assert (job.state, job.attempts, job.finished_at) == (JobState.PENDING, 0, None)
        [again] = await store.claim(worker)
        assert again.lease.attempt == 1
        assert [it.outcome for it in await store.jobs.attempts(id_)] == [AttemptOutcome.FAILED, None]

    async def test_only_what_failed_or_was_cancelled_is_replayed(self, store: Store) -> None:
        await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        assert await store.control.replay(JobFilter(), store.clock()) == []
        await store.settle(worker, claimed.complete({}, store.clock()))
        assert await store.control.replay(JobFilter(), store.clock()) == []

    async def test_a_replay_does_not_double_a_unique_job(self, store: Store) -> None:
        worker = await store.worker()
        [old] = await store.submit(store.new(unique_key="wall"))
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.fail(BROKEN, store.clock()))
        [new] = await store.submit(store.new(unique_key="wall"))
        assert new != old
        assert await store.control.replay(JobFilter(), store.clock()) == []
        assert (await store.jobs.get(old)).state is JobState.FAILED

    async def test_a_job_that_is_replayed_with_its_parent_runs_after_it(self, store: Store) -> None:
        [parent] = await store.submit(store.new())
        [child] = await store.submit(store.new(after=(parent,)))
        worker = await store.worker()
        await store.control.cancel(JobFilter(ids=[parent]), store.clock())
        await store.upkeep.release(store.clock())
        replayed = await store.control.replay(JobFilter(), store.clock())
        assert {job.id: job.blockers for job in replayed} == {parent: 0, child: 1}
        [claimed] = await store.claim(worker, 9)
        assert claimed.job.id == parent
        await store.settle(worker, claimed.complete({}, store.clock()))
        await store.upkeep.release(store.clock())
        assert [it.job.id for it in await store.claim(worker, 9)] == [child]

    async def test_a_job_that_is_replayed_alone_waits_for_no_parent_that_ended(self, store: Store) -> None:
        [parent] = await store.submit(store.new())
        [child] = await store.submit(store.new(after=(parent,)))
        await store.control.cancel(JobFilter(ids=[parent]), store.clock())
        await store.upkeep.release(store.clock())
        await store.control.replay(JobFilter(ids=[child]), store.clock())
        await store.upkeep.sweep(store.clock(), LEASE)
        assert [it.job.id for it in await store.claim(await store.worker(), 9)] == [child]

    async def test_a_job_waits_for_its_parents(self, store: Store) -> None:
        first, second = store.new(), store.new()
        child = store.new("sand", after=(first.id, second.id))
        await store.submit(first, second, child)
        worker = await store.worker()
        assert (await store.jobs.get(child.id)).condition(store.clock()) == "waiting"
        one, two = await store.claim(worker, 2, "paint", "sand")
        exchange = await store.leases.exchange(worker, [one.complete({}, store.clock())], None, store.clock())
        assert exchange.released
        assert await store.upkeep.release(store.clock()) == frozenset()
        assert await store.claim(worker, 1, "sand") == []
        await store.settle(worker, two.complete({}, store.clock()))
        assert await store.upkeep.release(store.clock()) == frozenset({"sand"})
        assert [it.job.id for it in await store.claim(worker, 1, "sand")] == [child.id]
        assert EventKind.RELEASED in await store.kinds(child.id)

    async def test_a_failed_parent_fails_its_children_down_the_line(self, store: Store) -> None:
        parent = store.new(max_attempts=1)
        child = store.new(after=(parent.id,))
        grandchild = store.new(after=(child.id,))
        tolerant = store.new("sand", after=(parent.id,), on_parent_failure=ParentPolicy.RELEASE)
        await store.submit(parent, child, grandchild, tolerant)
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.fail(BROKEN, store.clock()))
        assert await store.upkeep.release(store.clock()) == frozenset({"sand"})
        for job_id in (child.id, grandchild.id):
            job = await store.jobs.get(job_id)
            assert (job.state, job.problem and job.problem.kind) == (JobState.FAILED, "ParentFailed")
        assert [it.job.id for it in await store.claim(worker, 5, "paint", "sand")] == [tolerant.id]

    async def test_a_sweep_releases_what_was_missed(self, store: Store) -> None:
        parent, child = store.new(), store.new("sand")
        child = replace(child, after=(parent.id,))
        await store.submit(parent, child)
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.complete({}, store.clock()))
        assert (await store.upkeep.sweep(store.clock(), LEASE)).due == frozenset({"sand"})

    async def test_a_parent_that_is_done_is_not_waited_for(self, store: Store) -> None:
        [parent] = await store.submit(store.new())
        worker = await store.worker()
        [claimed] = await store.claim(worker)
        await store.settle(worker, claimed.complete({}, store.clock()))
        [child] = await store.submit(store.new(after=(parent,)))
        assert [it.job.id for it in await store.claim(worker)] == [child]

    async def test_waiting_for_a_job_that_does_not_exist_is_refused(self, store: Store) -> None:
        innocent = store.new()
        with pytest.raises(ParentNotFound):
            await store.jobs.submit([innocent, store.new(after=(uuid4(),))])
        with pytest.raises(JobNotFound):
            await store.jobs.get(innocent.id)

    async def test_parents_that_end_while_a_child_is_submitted_are_never_missed(self, store: Store) -> None:
        worker = await store.worker()
        for _ in range(15):
            parent = store.new()
            await store.submit(parent)
            [claimed] = await store.claim(worker)
            child = store.new("sand", after=(parent.id,))
            await asyncio.gather(
                store.settle(worker, claimed.complete({}, store.clock())), store.submit(child)
            )
            await store.upkeep.release(store.clock())
            assert [it.job.id for it in await store.claim(worker, 1, "sand")] == [child.id]

    async def test_the_stream_tells_every_event_once_in_order_while_many_write(self, store: Store) -> None:
        seen: list[int] = []
        position = None
        done = asyncio.Event()

        async def read() -> None:
            nonlocal position
            while True:
                last = done.is_set()
                for streamed in await store.jobs.stream(after=position, limit=7):
                    seen.append(streamed.event.sequence)
                    position = streamed.position
                if last and not await store.jobs.stream(after=position):
                    return
                await asyncio.sleep(0)

        async def write() -> None:
            for _ in range(6):
                await store.submit(store.new())

        reading = asyncio.create_task(read())
        await asyncio.gather(*(write() for _ in range(8)))
        done.set()
        await reading
        assert len(seen) == len(set(seen)) == 48

    async def test_a_foreign_position_is_refused(self, store: Store) -> None:
        for position in ("", "x", "1", "1-", "-1", "1-x", "9" * 40 + "-1"):
            with pytest.raises(ValueError, match="position"):
                await store.jobs.stream(after=position)

    async def test_jobs_are_counted_by_type_and_state(self, store: Store) -> None:
        await store.submit(store.new(), store.new(), store.new("sand"))
        worker = await store.worker()
        first, _second = await store.claim(worker, 2)
        await store.settle(worker, first.complete({}, store.clock()))
        counts = {(it.type, it.state): it.jobs for it in await store.control.counts()}
        assert counts == {
            ("paint", JobState.RUNNING): 1,
            ("paint", JobState.COMPLETED): 1,
            ("sand", JobState.PENDING): 1,
        }

    async def test_what_ended_long_ago_is_purged_with_all_that_belongs_to_it(self, store: Store) -> None:
        worker = await store.worker()
        ended = []
        for _ in range(4):
            ended += await store.submit(store.new())
            [claimed] = await store.claim(worker)
            await store.leases.remember(claimed.lease, "step", {"value": 1})
            await store.settle(worker, claimed.complete({}, store.clock.pass_(hours=1)))
        [live] = await store.submit(store.new())
        before = store.clock() + timedelta(seconds=1)
        assert await store.control.purge(JobFilter(types=["sand"]), before) == 0
        assert await store.control.purge(JobFilter(), store.clock() - timedelta(hours=2.5)) == 1
        assert await store.control.purge(JobFilter(), before, keep=1) == 2
        assert await store.jobs.events(ended[0]) == []
        assert await store.jobs.attempts(ended[0]) == []
        kept = [job.id for job in (await store.jobs.page(JobFilter())).items]
        assert kept == [live, ended[3]]

    async def test_a_job_that_others_wait_for_is_not_purged(self, store: Store) -> None:
        worker = await store.worker()
        parent = store.new()
        await store.submit(parent)
        [claimed] = await store.claim(worker)
        await store.submit(store.new("sand", after=(parent.id,)))
        await store.settle(worker, claimed.complete({}, store.clock()))
        later = store.clock() + timedelta(days=9)
        assert await store.control.purge(JobFilter(), later) == 0
        await store.upkeep.release(store.clock())
        assert await store.control.purge(JobFilter(), later) == 1

    async def test_a_worker_that_ended_in_order_is_forgotten(self, store: Store) -> None:
        worker = await store.worker()
        await store.submit(store.new())
        await store.claim(worker)
        await store.upkeep.retire(worker)
        assert (await store.upkeep.sweep(store.clock(), LEASE)).rescued == 1

    async def test_workers_are_told_with_what_they_hold_until_they_retire(self, store: Store) -> None:
        first = await store.worker()
        began = store.clock()
        store.clock.pass_(seconds=1)
        second = await store.worker()
        await store.submit(store.new())
        await store.claim(second)
        store.clock.pass_(seconds=1)
        await store.upkeep.beat(first, store.clock())
        told = await store.upkeep.workers()
        assert [(it.worker, it.running) for it in told] == [(first, 0), (second, 1)]
        assert (told[0].started_at, told[0].seen_at) == (began, store.clock())
        await store.upkeep.retire(first)
        assert [it.worker for it in await store.upkeep.workers()] == [second]
