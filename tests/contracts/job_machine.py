"""A job store against a model of it: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from forgehand.application.ports.jobs import JobFilter, NewJob
from forgehand.application.ports.leases import LeaseLost, Share, Wanted, Worker
from forgehand.domain.jobs import (
    Claimed,
    EventKind,
    Job,
    JobProblem,
    JobState,
    ParentPolicy,
    Priority,
    RateLimit,
    Settlement,
)
from tests.contracts.job_store import LEASE, Store

T = TypeVar("T")
PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = JobState
ENDED_BADLY = (FAILED, CANCELLED)
BROKEN = JobProblem("Broken", "it broke")

SHARES = {
    "paint": Share("paint", 9),
    "sand": Share("sand", 9, running=2, rate=RateLimit(4, timedelta(minutes=1))),
    "saw": Share("saw", 9, rate=RateLimit(3, timedelta(seconds=10))),
}
TYPES = tuple(SHARES)


@dataclass
class Expected:
    """What the model holds of one job."""

    id: UUID
    type: str
    priority: Priority
    run_at: datetime
    max_attempts: int
    unique_key: str | None
    parents: tuple[UUID, ...]
    policy: ParentPolicy
    blockers: int
    state: JobState = PENDING
    attempts: int = 0
    lease: UUID | None = None
    worker: UUID | None = None
    unwanted: bool = False
    finished_at: datetime | None = None
    progress: int = 0

    @property
    def live(self) -> bool:
        return not self.state.ended

    @property
    def order(self) -> tuple[int, datetime, UUID]:
        return -self.priority, self.run_at, self.id

    def end(self, state: JobState, at: datetime) -> None:
        self.state, self.finished_at, self.lease, self.worker, self.blockers = state, at, None, None, 0

    def back(self, run_at: datetime) -> None:
        self.state, self.run_at, self.lease, self.worker = PENDING, run_at, None, None

    def seen(self) -> tuple[Any, ...]:
        """When an ended job was to run next is nobody's concern."""
        run_at = self.run_at if self.live else None
        return (self.state, self.attempts, self.lease, run_at, self.blockers, self.finished_at, self.progress)


@dataclass
class Model:
    """The promises of the ports, in as few words as Python allows."""

    jobs: dict[UUID, Expected] = field(default_factory=dict)
    seen_at: dict[UUID, datetime] = field(default_factory=dict)
    starts: list[tuple[str, datetime]] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)

    def holder(self, type_name: str, unique_key: str | None) -> Expected | None:
        return next(
            (
                job
                for job in self.jobs.values()
                if unique_key and job.live and (job.type, job.unique_key) == (type_name, unique_key)
            ),
            None,
        )

    def held(self, lease: UUID) -> Expected | None:
        return next((job for job in self.jobs.values() if job.lease == lease), None)

    def running(self) -> int:
        return sum(job.state is RUNNING for job in self.jobs.values())

    def room(self, share: Share, now: datetime) -> int:
        room = share.slots
        if share.running is not None:
            running = [job for job in self.jobs.values() if job.type == share.queue and job.state is RUNNING]
            room = min(room, share.running - len(running))
        if share.rate is not None:
            room = min(room, share.rate.starts - self.started(share.queue, now, share.rate.per))
        return max(room, 0)

    def started(self, type_name: str, now: datetime, window: timedelta) -> int:
        return sum(type_ == type_name and now - window < at <= now for type_, at in self.starts)

    def due(self, type_name: str, now: datetime) -> list[Expected]:
        found = [
            job
            for job in self.jobs.values()
            if job.type == type_name and job.state is PENDING and not job.blockers and job.run_at <= now
        ]
        return sorted(found, key=lambda job: job.order)

    def claim(self, worker: UUID, shares: Iterable[Share], leases: list[UUID], now: datetime) -> list[UUID]:
        chosen: list[Expected] = []
        for share in shares:
            if share.queue not in self.paused:
                chosen += self.due(share.queue, now)[: self.room(share, now)]
        chosen = sorted(chosen, key=lambda job: job.order)[: len(leases)]
        for job, lease in zip(chosen, leases, strict=False):
            job.state, job.lease, job.worker, job.attempts = RUNNING, lease, worker, job.attempts + 1
            self.starts.append((job.type, now))
        return [job.id for job in chosen]

    def settle(self, settlement: Settlement) -> bool:
        job = self.held(settlement.lease.id)
        if job is None:
            return False
        if settlement.outcome == "returned":
            job.attempts -= 1
        if settlement.state.ended:
            job.end(settlement.state, settlement.at)
        elif job.unwanted:
            job.end(CANCELLED, settlement.at)
        else:
            assert settlement.run_at is not None
            job.back(settlement.run_at)
        if job.state is COMPLETED:
            job.progress = 100
        return True

    def rescue(self, now: datetime) -> int:
        dead = {worker for worker, seen_at in self.seen_at.items() if seen_at < now - LEASE}
        lost = [job for job in self.jobs.values() if job.worker in dead]
        for job in lost:
            if job.unwanted:
                job.end(CANCELLED, now)
            elif job.attempts >= job.max_attempts:
                job.end(FAILED, now)
            else:
                job.back(now)
            job.run_at = now
        return len(lost)

    def release(self, now: datetime) -> set[str]:
        queues: set[str] = set()
        while any(self._release(job, now, queues) for job in self.jobs.values()):
            pass
        return queues

    def _release(self, job: Expected, now: datetime, queues: set[str]) -> bool:
        if job.state is not PENDING or not job.blockers:
            return False
        states = [self.jobs[parent].state if parent in self.jobs else FAILED for parent in job.parents]
        bad = [state in ENDED_BADLY for state in states]
        if any(bad) and job.policy is ParentPolicy.FAIL:
            job.end(FAILED, now)
            return True
        left = sum(not (state is COMPLETED or state in ENDED_BADLY) for state in states)
        if left >= job.blockers:
            return False
        job.blockers = left
        if not left:
            queues.add(job.type)
        return True

    def replay(self, job: Expected, now: datetime) -> bool:
        if job.state not in ENDED_BADLY or self.holder(job.type, job.unique_key):
            return False
        job.back(now)
        job.attempts, job.unwanted, job.finished_at, job.progress = 0, False, None, 0
        job.blockers = sum(parent in self.jobs and self.jobs[parent].live for parent in job.parents)
        return True

    def purge(self, before: datetime) -> int:
        waiting = [job for job in self.jobs.values() if job.state is PENDING and job.blockers]
        awaited = {parent for job in waiting for parent in job.parents}
        gone = [
            id_
            for id_, job in self.jobs.items()
            if job.finished_at is not None and job.finished_at < before and id_ not in awaited
        ]
        for id_ in gone:
            del self.jobs[id_]
        return len(gone)


WEIGHTS = {
    "submit": 5,
    "claim": 5,
    "settle": 4,
    "complete_some_and_claim_more": 2,
    "time_passes": 3,
    "keep_house": 2,
    "cancel": 2,
    "replay": 2,
    "write": 1,
    "beat": 1,
    "pause_or_resume": 1,
}
ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "submit": {
        "type_name": st.sampled_from(TYPES),
        "priority": st.sampled_from(Priority),
        "delay": st.sampled_from([0, 0, 0, 0, 5, 40]),
        "unique_key": st.sampled_from([None, None, None, "roof", "door"]),
        "max_attempts": st.integers(1, 3),
        "policy": st.sampled_from(ParentPolicy),
        "count": st.integers(1, 4),
        "kinship": st.sampled_from(["none", "none", "chain", "any"]),
    },
    "claim": {
        "queues": st.sampled_from([("sand", "saw"), ("paint",), ("sand", "saw"), ("saw",)]),
        "slots": st.integers(1, 3),
    },
    "settle": {
        "how": st.sampled_from(["complete", "fail", "retry", "retry", "snooze", "hand back", "cancel"]),
        "wait": st.sampled_from([0, 3, 40]),
    },
    "complete_some_and_claim_more": {"queue": st.sampled_from(TYPES)},
    "time_passes": {"seconds": st.sampled_from([0.5, 4, 11, 31, 61, 301])},
    "keep_house": {"what": st.sampled_from(["sweep", "sweep", "release", "purge"])},
    "cancel": {"of": st.sampled_from([(RUNNING,), (PENDING,), (RUNNING,), tuple(JobState)])},
    "replay": {"of": st.sampled_from([ENDED_BADLY, ENDED_BADLY, tuple(JobState)])},
    "write": {"percent": st.integers(0, 99), "what": st.sampled_from(["progress", "log", "step"])},
    "beat": {"new": st.integers(0, 4)},
    "pause_or_resume": {"type_name": st.sampled_from(TYPES)},
}
STEPS = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries(ARGUMENTS[name]))
)


class JobMachine(RuleBasedStateMachine):
    """Subclass with `opens`, which opens a store that is empty."""

    opens: Callable[[], AbstractAsyncContextManager[Store]]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.opened = self.opens()
        self.store = self.do(self.opened.__aenter__())
        self.model = Model()
        self.numbers = itertools.count(1)
        self.workers: list[Worker] = []
        self.leases: list[Claimed] = []  # all that were ever given out, the stale ones too

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    @property
    def now(self) -> datetime:
        return self.store.clock()

    def new_id(self) -> UUID:
        return UUID(int=next(self.numbers))

    def any_job(self, data: st.DataObject, *states: JobState) -> Expected:
        """Of those states where there is one."""
        wanted = [id_ for id_, job in self.model.jobs.items() if job.state in states]
        return self.model.jobs[data.draw(st.sampled_from(wanted or list(self.model.jobs)), "job")]

    def any_lease(self, data: st.DataObject) -> Claimed:
        """A live one three times in four, where there is one."""
        live = [claimed for claimed in self.leases if self.model.held(claimed.lease.id)]
        good = bool(live) and data.draw(st.integers(0, 3), "kind of lease") < 3
        return data.draw(st.sampled_from(live if good else self.leases[-12:]), "lease")

    @rule(data=st.data(), step=STEPS)
    def step(self, data: st.DataObject, step: tuple[str, dict[str, Any]]) -> None:
        """One rule for all: hypothesis would leave rules out of most walks, and work is all of them."""
        name, arguments = step
        getattr(self, name)(data, **arguments)
        self.compare()

    # Submitting

    def submit(self, data: st.DataObject, type_name: str, count: int, kinship: str, **terms: Any) -> None:
        batch: list[NewJob] = []
        for _ in range(count):
            parents = [job.id for job in batch[-1:]] if kinship == "chain" else []
            if kinship == "any" and self.model.jobs:
                parents = data.draw(st.lists(st.sampled_from(sorted(self.model.jobs)), max_size=2), "parents")
            batch.append(self.new(type_name, tuple(parents), **terms))
        if terms["unique_key"] is not None:
            batch = batch[:1]
        submissions = self.do(self.store.jobs.submit(batch))
        for new, submission in zip(batch, submissions, strict=True):
            holder = self.model.holder(new.type, new.unique_key)
            assert submission.created is (holder is None)
            assert submission.job.id == (holder.id if holder else new.id)
            if holder is None:
                self.expect(new, terms["policy"])

    def new(self, type_name: str, after: tuple[UUID, ...], **terms: Any) -> NewJob:
        return NewJob(
            id=self.new_id(),
            type=type_name,
            request={"colour": "red"},
            schema_version=1,
            submitted_by="ada",
            run_at=self.now + timedelta(seconds=terms["delay"]),
            max_attempts=terms["max_attempts"],
            priority=terms["priority"],
            unique_key=terms["unique_key"],
            after=after,
            on_parent_failure=terms["policy"],
        )

    def expect(self, new: NewJob, policy: ParentPolicy) -> None:
        parents = tuple(dict.fromkeys(new.after))
        blockers = sum(self.model.jobs[parent].state is not COMPLETED for parent in parents)
        self.model.jobs[new.id] = Expected(
            id=new.id,
            type=new.type,
            priority=new.priority,
            run_at=new.run_at,
            max_attempts=new.max_attempts,
            unique_key=new.unique_key,
            parents=parents,
            policy=policy,
            blockers=blockers,
        )

    # Working

    @initialize()
    def two_workers(self) -> None:
        for _ in range(2):
            self.hire()

    def hire(self) -> Worker:
        worker = Worker(self.new_id(), f"host:{len(self.workers)}")
        self.workers.append(worker)
        self.beat_of(worker)
        return worker

    def beat_of(self, worker: Worker) -> None:
        self.do(self.store.upkeep.beat(worker, self.now))
        self.model.seen_at[worker.id] = self.now

    def beat(self, data: st.DataObject, new: int) -> None:
        if not new:
            self.hire()
        else:
            self.beat_of(data.draw(st.sampled_from(self.workers), "worker"))

    def claim(self, data: st.DataObject, queues: tuple[str, ...], slots: int) -> None:
        self.exchange(data.draw(st.sampled_from(self.workers), "worker"), [], queues, slots)

    def settle(self, data: st.DataObject, how: str, wait: int) -> None:
        if not self.leases:
            return
        claimed = self.any_lease(data)
        worker = next(it for it in self.workers if it.id == claimed.lease.worker_id)
        self.exchange(worker, [_settled(claimed, how, self.now, timedelta(seconds=wait))])

    def complete_some_and_claim_more(self, data: st.DataObject, queue: str) -> None:
        worker = data.draw(st.sampled_from(self.workers), "worker")
        mine = [claimed for claimed in self.leases[-12:] if claimed.lease.worker_id == worker.id]
        done = data.draw(st.lists(st.sampled_from(mine), max_size=3, unique_by=id), "done") if mine else []
        self.exchange(worker, [it.complete({"painted": 1}, self.now) for it in done], (queue,), 2)

    def exchange(
        self, worker: Worker, settlements: list[Settlement], queues: tuple[str, ...] = (), slots: int = 0
    ) -> list[Claimed]:
        shares = [SHARES[queue] for queue in queues]
        leases = [self.new_id() for _ in range(slots)]
        answer = self.do(self.store.leases.exchange(worker, settlements, Wanted(shares, leases), self.now))
        lost, parents = set(), set()
        for settlement in settlements:
            if self.model.settle(settlement):
                parents.add(settlement.lease.job_id)
            else:
                lost.add(settlement.lease.id)
        assert answer.lost == lost
        assert answer.released is any(parents & set(job.parents) for job in self.model.jobs.values())
        unwanted = {job.lease for job in self.model.jobs.values() if job.worker == worker.id and job.unwanted}
        assert answer.cancelled - {it.lease.id for it in settlements} == unwanted
        assert [it.job.id for it in answer.claimed] == self.model.claim(worker.id, shares, leases, self.now)
        self.leases += answer.claimed
        return list(answer.claimed)

    def write(self, data: st.DataObject, percent: int, what: str) -> None:
        if not self.leases:
            return
        lease = self.any_lease(data).lease
        job = self.model.held(lease.id)
        try:
            self.do(self.written(lease, percent, what))
        except LeaseLost:
            assert job is None
        else:
            assert job is not None
            job.progress = percent if what == "progress" else job.progress

    async def written(self, lease: Any, percent: int, what: str) -> None:
        match what:
            case "progress":
                data = {"percent": percent, "note": None}
                await self.store.leases.report(lease, EventKind.PROGRESS, data, self.now)
            case "log":
                await self.store.leases.report(lease, EventKind.LOG, {"message": "hm"}, self.now)
            case _:
                await self.store.leases.remember(lease, "walls", {"value": percent})

    # Operating

    def cancel(self, data: st.DataObject, of: tuple[JobState, ...]) -> None:
        if not self.model.jobs:
            return
        job = self.any_job(data, *of)
        changed = self.do(self.store.control.cancel(JobFilter(ids=[job.id]), self.now))
        assert [it.id for it in changed] == ([job.id] if job.live and not job.unwanted else [])
        if job.state is PENDING:
            job.end(CANCELLED, self.now)
        job.unwanted = job.unwanted or job.state is RUNNING

    def replay(self, data: st.DataObject, of: tuple[JobState, ...]) -> None:
        if not self.model.jobs:
            return
        job = self.any_job(data, *of)
        changed = self.do(self.store.control.replay(JobFilter(ids=[job.id]), self.now))
        assert [it.id for it in changed] == ([job.id] if self.model.replay(job, self.now) else [])

    def pause_or_resume(self, data: st.DataObject, type_name: str) -> None:
        if type_name in self.model.paused:
            self.resume(type_name)
        else:
            self.do(self.store.control.pause(type_name, self.now))
            self.model.paused.add(type_name)
        assert self.do(self.store.control.paused()) == self.model.paused

    def resume(self, type_name: str) -> None:
        self.do(self.store.control.resume(type_name))
        self.model.paused.discard(type_name)

    def keep_house(self, data: st.DataObject, what: str) -> None:
        getattr(self, what)()

    def sweep(self) -> None:
        swept = self.do(self.store.upkeep.sweep(self.now, LEASE))
        assert swept.rescued == self.model.rescue(self.now)
        self.model.release(self.now)
        assert swept.due == {type_ for type_ in TYPES if self.model.due(type_, self.now)}

    def release(self) -> None:
        assert self.do(self.store.upkeep.release(self.now)) == self.model.release(self.now)

    def purge(self) -> None:
        """Never younger than the window of a rate: its starts are counted in these rows."""
        before = self.now - timedelta(seconds=61)
        assert self.do(self.store.control.purge(JobFilter(), before)) == self.model.purge(before)

    def time_passes(self, data: st.DataObject, seconds: float) -> None:
        self.store.clock.pass_(seconds=seconds)

    # What must hold

    def compare(self) -> None:
        found = {job.id: _seen(job) for job in self.do(self.store.jobs.page(JobFilter(), limit=1000)).items}
        expected = {id_: job.seen() for id_, job in self.model.jobs.items()}
        apart = {id_: (found.get(id_), expected.get(id_)) for id_ in found | expected}
        assert found == expected, {id_: it for id_, it in apart.items() if it[0] != it[1]}
        for job in self.model.jobs.values():
            assert 0 <= job.attempts <= job.max_attempts
            assert (job.lease is not None) is (job.state is RUNNING)
        for share in SHARES.values():
            self.keeps(share)

    def keeps(self, share: Share) -> None:
        running = [it for it in self.model.jobs.values() if it.type == share.queue and it.state is RUNNING]
        assert share.running is None or len(running) <= share.running
        for at in {at for type_, at in self.model.starts if type_ == share.queue and share.rate}:
            assert share.rate is not None
            assert self.model.started(share.queue, at, share.rate.per) <= share.rate.starts

    def drain(self) -> None:
        """Nothing is stuck: with a worker that completes what it gets, all ends."""
        for type_name in TYPES:
            self.resume(type_name)
        last = self.hire()
        while any(job.live for job in self.model.jobs.values()):
            before = sum(job.live for job in self.model.jobs.values()), self.model.running()
            self.store.clock.pass_(seconds=301)
            self.beat_of(last)
            self.sweep()
            for queues in (("paint",), ("sand", "saw")):
                claimed = self.exchange(last, [], queues, 9)
                self.exchange(last, [it.complete({"painted": 1}, self.now) for it in claimed])
            after = sum(job.live for job in self.model.jobs.values()), self.model.running()
            assert after < before, "something is stuck"
        self.compare()

    def account(self) -> None:
        """By the events alone: each run of a job ends once, and says nothing after its end."""
        for id_ in self.model.jobs:
            runs: list[list[EventKind]] = [[]]
            for kind in self.do(self.store.kinds(id_)):
                if kind is EventKind.REPLAYED:
                    runs.append([])
                runs[-1].append(kind)
            for kinds in runs:
                assert [kind.terminal for kind in kinds] == [False] * (len(kinds) - 1) + [True], kinds

    def teardown(self) -> None:
        try:
            self.drain()
            self.account()
        finally:
            self.do(self.opened.__aexit__(None, None, None))
            self.loop.close()


def _seen(job: Job) -> tuple[Any, ...]:
    lease = job.lease.id if job.lease else None
    run_at = None if job.state.ended else job.run_at
    return (job.state, job.attempts, lease, run_at, job.blockers, job.finished_at, job.progress)


def _settled(claimed: Claimed, how: str, now: datetime, wait: timedelta) -> Settlement:
    match how:
        case "complete":
            return claimed.complete({"painted": 1}, now)
        case "fail":
            return claimed.fail(BROKEN, now)
        case "retry":
            return claimed.try_again(BROKEN, now, wait)
        case "snooze":
            return claimed.snooze(BROKEN, now, wait)
        case "hand back":
            return claimed.hand_back(now)
        case _:
            return claimed.cancel(now)


def explore(machine: type[JobMachine], examples: int, steps: int) -> None:
    """The same walks every time, in seconds; other and far longer ones with HYPOTHESIS_PROFILE=soak."""
    soak = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
    phases = (Phase.generate, Phase.shrink) if soak else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * 40 if soak else examples,
            stateful_step_count=steps * 2 if soak else steps,
            derandomize=not soak,
            phases=phases,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
