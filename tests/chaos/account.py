"""The account: what the ledgers, the database and the hangman say, held against each other.

Times are microseconds since 1970. Faults are kept as sentences, one each; none may remain.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tests.chaos.ledger import Effects, Execution
from tests.chaos.witness import Evidence, Write

ENDED = frozenset({"completed", "failed", "cancelled"})
SECOND = 1_000_000
_SLACK = SECOND // 4
"""A heartbeat is written this long before the rescuer looks at the latest, or it may not have seen it."""


@dataclass(frozen=True, slots=True)
class Fates:
    """What was done to the worker processes: when each was dead, and from when to when it was frozen."""

    dead: Mapping[str, int] = field(default_factory=dict)
    frozen: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """`faults` by kind; every kind is there, and each must be empty. `apart` is no fault."""

    jobs: int
    states: Counter[str]
    executions: int
    apart: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        return self.jobs > 0 and not any(self.faults.values())


def draw_up(effects: Effects, evidence: Evidence, fates: Fates, lease: float) -> Account:
    """Everything that is wrong, once all had its time. `lease` in seconds."""
    books = _Books(effects, evidence, fates, round(lease * SECOND))
    return Account(
        jobs=len(effects.submitted),
        states=Counter(evidence.states[job] for job in effects.submitted if job in evidence.states),
        executions=len(effects.executions),
        apart=books.repeats(),
        faults={
            "lost": list(books.lost()),
            "stuck": list(books.stuck()),
            "doubled: ended twice": list(books.ended_twice()),
            "doubled: overlapping": list(books.overlaps()),
            "rescued too early": list(books.robbed()),
            "ended otherwise": list(books.ended_otherwise()),
            "end untold": list(books.untold()),
            "completed unrun": list(books.unrun()),
            "phantom": list(books.phantoms()),
            "step repaid": list(books.repaid()),
        },
    )


class _Books:
    def __init__(self, effects: Effects, evidence: Evidence, fates: Fates, lease: int) -> None:
        self.effects = effects
        self.evidence = evidence
        self.fates = fates
        self.lease = lease
        self.attempts = {it.lease: it for it in evidence.attempts}
        self.closing: dict[str, Write] = {}
        for write in evidence.writes:
            if write.lease is not None and write.before == "running":
                self.closing.setdefault(write.lease, write)
        self.runs: defaultdict[str, list[Execution]] = defaultdict(list)
        for execution in sorted(effects.executions, key=lambda it: it.start):
            self.runs[execution.job].append(execution)
        self.beats: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for beat in evidence.beats:
            self.beats[beat.worker].append((beat.at, beat.seen_at))
        self.worker_of = {it.lease: it.worker for it in effects.executions}

    def lost(self) -> Iterator[str]:
        for job in self.effects.submitted.keys() - self.evidence.states.keys():
            yield f"job {job} was acknowledged and is not there"

    def stuck(self) -> Iterator[str]:
        for job, state in self.evidence.states.items():
            if state not in ENDED:
                yield f"job {job} is still {state}"

    def ended_twice(self) -> Iterator[str]:
        """Two accepted terminal writes: as the database saw them, and as the job's events tell."""
        ends = Counter(write.job for write in self.evidence.writes if write.after in ENDED)
        for job, times in ends.items():
            if times > 1:
                yield f"job {job} was ended {times} times"
        for job, times in self.evidence.terminal_events.items():
            if times > 1 and ends[job] <= 1:
                yield f"job {job} tells of {times} ends"
        for write in self.evidence.writes:
            if write.before in ENDED and write.after not in ENDED:
                yield f"job {write.job} had ended as {write.before} and became {write.after}"

    def overlaps(self) -> Iterator[str]:
        for job, runs in self.runs.items():
            for first, second in combinations(runs, 2):
                if first.lease == second.lease:
                    yield f"job {job} ran twice under the lease {first.lease}"
                elif second.start < self._over(first) and not self._taken(first, second.start):
                    yield (
                        f"job {job}: attempt {second.attempt} in {second.process} began while"
                        f" attempt {first.attempt} in {first.process} had its lease"
                    )

    def robbed(self) -> Iterator[str]:
        """Leases taken from a worker whose last heartbeat was younger than a lease."""
        for attempt in self.evidence.attempts:
            worker, write = self.worker_of.get(attempt.lease), self.closing.get(attempt.lease)
            if attempt.outcome != "lost" or worker is None or write is None or attempt.ended_at is None:
                continue
            known = [seen_at for at, seen_at in self.beats[worker] if at <= write.at - _SLACK]
            if known and max(known) + self.lease > attempt.ended_at:
                young = (attempt.ended_at - max(known)) / SECOND
                yield f"the lease {attempt.lease} was taken {young:.2f} s after a heartbeat"

    def ended_otherwise(self) -> Iterator[str]:
        for job, ends in self.effects.submitted.items():
            state = self.evidence.states.get(job)
            if state in ENDED and state not in ends:
                yield f"job {job} ended as {state}, and should have as {' or '.join(sorted(ends))}"

    def untold(self) -> Iterator[str]:
        witnessed = {write.job for write in self.evidence.writes if write.after in ENDED}
        for job, state in self.evidence.states.items():
            if state in ENDED and job not in self.evidence.terminal_events:
                yield f"job {job} is {state} without an event that tells so"
            if state in ENDED and job not in witnessed:
                yield f"job {job} is {state} and nobody wrote that"

    def unrun(self) -> Iterator[str]:
        """Completions by a lease under which nobody ran to the end."""
        done = {it.lease for it in self.effects.executions if it.how == "done"}
        for write in self.evidence.writes:
            if write.after == "completed" and write.before == "running" and write.lease not in done:
                yield f"job {write.job} was completed under the lease {write.lease}, which did not do it"

    def phantoms(self) -> Iterator[str]:
        for execution in self.effects.executions:
            attempt = self.attempts.get(execution.lease)
            if attempt is None or attempt.job != execution.job:
                yield f"job {execution.job} ran under the lease {execution.lease}, unknown to the store"
        for job in self.runs.keys() - self.effects.submitted.keys():
            if job not in self.evidence.states:
                yield f"job {job} ran and is not there"

    def repaid(self) -> Iterator[str]:
        for job, result in self.evidence.results.items():
            kept = self.evidence.paid.get(job)
            if result != kept or result not in self.effects.paid.get(job, ()):
                yield f"job {job} says it paid {result}; its step remembers {kept}"

    def repeats(self) -> Counter[str]:
        """Why jobs ran more than once; an execution that is followed by another had one of these ends."""
        return Counter(self._why(run) for runs in self.runs.values() for run in runs[:-1])

    def _why(self, run: Execution) -> str:
        attempt = self.attempts.get(run.lease)
        outcome = attempt.outcome if attempt else None
        if outcome != "lost":
            return {"failed": "after a failure", "returned": "after being handed back"}.get(
                str(outcome), f"after {outcome}"
            )
        taken = self.closing[run.lease].at if run.lease in self.closing else 0
        if self.fates.dead.get(run.process, taken + 1) <= taken:
            return "after a kill"
        if any(
            since <= taken for since, until in self.fates.frozen.get(run.process, ()) if until > run.start
        ):
            return "after a freeze"
        return "after missed heartbeats (database away, machine busy)"

    def _over(self, run: Execution) -> float:
        """When it had its last effect: as it says, else as it was killed."""
        if run.end is not None:
            return run.end
        return self.fates.dead.get(run.process, float("inf"))

    def _taken(self, run: Execution, by: int) -> bool:
        """Whether the store had taken its lease from it by then, as from a dead worker."""
        attempt, write = self.attempts.get(run.lease), self.closing.get(run.lease)
        if attempt is None or write is None:
            return False
        return attempt.outcome == "lost" and write.at <= by


def table(account: Account, rows: Iterable[tuple[str, object]] = ()) -> str:
    """For people. `rows` say what was done to the jobs."""
    lines: list[tuple[str, object]] = [
        *rows,
        ("jobs", account.jobs),
        *sorted(account.states.items()),
        ("executions", account.executions),
        *((f"repeated {why}", times) for why, times in sorted(account.apart.items())),
        *((what.upper(), len(found)) for what, found in account.faults.items()),
    ]
    width = max(len(name) for name, _ in lines) + 2
    told = [f"{name:<{width}}{value:>10}" for name, value in lines]
    for what, found in account.faults.items():
        told += [f"  {what}: {sentence}" for sentence in found[:10]]
    told.append("BALANCED" if account.balanced else "NOT BALANCED")
    return "\n".join(told)
