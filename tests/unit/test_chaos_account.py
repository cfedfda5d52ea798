"""The account of the chaos proof finds what it is there to find: forged ledgers, one fault each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.account import SECOND, Account, Fates, draw_up
from tests.chaos.ledger import Effects, Execution
from tests.chaos.witness import AttemptRow, Beat, Evidence, Write

LEASE = 2.0
UNHARMED = Fates()
COMPLETED = frozenset({"completed"})


def s(seconds: float) -> int:
    return round(seconds * SECOND)


def run(lease: str, start: float, end: float | None, **fields: object) -> Execution:
    attempt = int(lease[-1])
    how, last = (None, None) if end is None else ("done", s(end))
    run = Execution("job", attempt, lease, f"w{attempt}", f"p{attempt}", s(start), last, how)
    return replace(run, **fields)  # type: ignore[arg-type]  # the test names real fields


def effects(*executions: Execution) -> Effects:
    return Effects(executions, {"job": COMPLETED}, {})


def evidence(**fields: object) -> Evidence:
    """One job that was claimed once and completed."""
    told = Evidence(
        states={"job": "completed"},
        attempts=(AttemptRow("l1", "job", "completed", s(11)),),
        writes=(Write("job", "running", "completed", "l1", s(11)),),
        beats=(),
        terminal_events={"job": 1},
        paid={},
        results={},
    )
    return replace(told, **fields)  # type: ignore[arg-type]  # the test names real fields


def rescued(at: float = 13.0, beat: float = 10.5) -> Evidence:
    """The first attempt was lost at `at`, its worker's last heartbeat at `beat`; the second completed."""
    return evidence(
        attempts=(AttemptRow("l1", "job", "lost", s(at)), AttemptRow("l2", "job", "completed", s(15))),
        writes=(
            Write("job", "running", "pending", "l1", s(at)),
            Write("job", "running", "completed", "l2", s(15)),
        ),
        beats=(Beat("w1", s(beat), s(beat)),),
    )


def account(effects: Effects, evidence: Evidence, fates: Fates = UNHARMED) -> Account:
    return draw_up(effects, evidence, fates, LEASE)


def kinds(account: Account) -> set[str]:
    return {kind for kind, found in account.faults.items() if found}


def test_a_job_that_ran_once_is_in_order() -> None:
    found = account(effects(run("l1", 10, 11)), evidence())
    assert found.balanced
    assert not found.apart


def test_an_account_of_nothing_is_not_balanced() -> None:
    nothing = Evidence({}, (), (), (), {}, {}, {})
    assert not account(Effects((), {}, {}), nothing).balanced


def test_a_repeat_after_a_kill_is_listed_apart() -> None:
    killed = effects(run("l1", 10, None), run("l2", 13.5, 15))
    found = account(killed, rescued(), Fates(dead={"p1": s(11)}))
    assert found.balanced
    assert found.apart == {"after a kill": 1}


def test_a_frozen_worker_that_goes_on_after_its_lease_is_listed_apart() -> None:
    thawed = effects(run("l1", 10, 14), run("l2", 13.5, 15))
    found = account(thawed, rescued(), Fates(frozen={"p1": [(s(10.6), s(13.9))]}))
    assert found.balanced
    assert found.apart == {"after a freeze": 1}


FORGED: dict[str, tuple[Effects, Evidence, str]] = {
    "a job that is gone": (
        effects(run("l1", 10, 11)),
        evidence(states={}, writes=(), terminal_events={}),
        "lost",
    ),
    "a job that waits for ever": (
        effects(),
        evidence(states={"job": "pending"}, attempts=(), writes=(), terminal_events={}),
        "stuck",
    ),
    "a job that runs for ever": (
        effects(run("l1", 10, None)),
        evidence(states={"job": "running"}, writes=(), terminal_events={}),
        "stuck",
    ),
    "two accepted ends": (
        effects(run("l1", 10, 14), run("l2", 13.5, 15)),
        replace(rescued(), writes=(*rescued().writes, Write("job", "completed", "completed", None, s(16)))),
        "doubled: ended twice",
    ),
    "two events that tell of an end": (
        effects(run("l1", 10, 11)),
        evidence(terminal_events={"job": 2}),
        "doubled: ended twice",
    ),
    "an ended job that came back": (
        effects(run("l1", 10, 11)),
        evidence(writes=(*evidence().writes, Write("job", "completed", "pending", None, s(12)))),
        "doubled: ended twice",
    ),
    "an attempt beside one that had its lease": (
        effects(run("l1", 10, 14), run("l2", 12.5, 15)),
        rescued(at=13),
        "doubled: overlapping",
    ),
    "an attempt beside one that was handed back too soon": (
        effects(run("l1", 10, 14), run("l2", 13.5, 15)),
        replace(
            rescued(),
            attempts=(
                AttemptRow("l1", "job", "returned", s(13)),
                AttemptRow("l2", "job", "completed", s(15)),
            ),
        ),
        "doubled: overlapping",
    ),
    "an attempt beside one whose process never died": (
        effects(run("l1", 10, None), run("l2", 12.5, 15)),
        rescued(at=13),
        "doubled: overlapping",
    ),
    "one lease that ran twice": (
        effects(run("l1", 10, 10.4), run("l1", 10.5, 11)),
        evidence(),
        "doubled: overlapping",
    ),
    "a lease taken from a live worker": (
        effects(run("l1", 10, 12), run("l2", 13.5, 15)),
        rescued(at=13, beat=12.5),
        "rescued too early",
    ),
    "a job that failed and should not have": (
        effects(run("l1", 10, 11)),
        evidence(states={"job": "failed"}),
        "ended otherwise",
    ),
    "an end without an event": (effects(run("l1", 10, 11)), evidence(terminal_events={}), "end untold"),
    "an end that nobody wrote": (effects(run("l1", 10, 11)), evidence(writes=()), "end untold"),
    "a completion that nobody ran": (effects(), evidence(), "completed unrun"),
    "a completion by one that was killed": (effects(run("l1", 10, None)), evidence(), "completed unrun"),
    "a run that the store never gave": (
        effects(run("l1", 10, 11), run("l9", 20, 21)),
        evidence(),
        "phantom",
    ),
    "a step that was paid twice": (
        Effects((run("l1", 10, 11),), {"job": COMPLETED}, {"job": frozenset({7, 8})}),
        evidence(paid={"job": 7}, results={"job": 8}),
        "step repaid",
    ),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_the_account_finds_it(forged: tuple[Effects, Evidence, str]) -> None:
    found = account(forged[0], forged[1])
    assert forged[2] in kinds(found), found.faults
    assert not found.balanced


def test_each_kind_of_fault_has_its_forgery() -> None:
    expected = {fault for _, _, fault in FORGED.values()}
    assert expected == set(account(effects(run("l1", 10, 11)), evidence()).faults)
