"""Which jobs there are, and how each has to end: all by the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from forgehand.application.jobs.submit import Order, Terms
from forgehand.domain.jobs import ParentPolicy, Priority
from tests.chaos.ordeals import CANCELLED, COMPLETED, FAILED, Kind

_KINDS: dict[Kind, int] = {"plain": 50, "flaky": 15, "reporting": 12, "paying": 10, "parent": 8, "doomed": 5}


@dataclass(frozen=True, slots=True)
class Planned:
    """A job to submit, the states that it may come to, and whether somebody cancels it."""

    id: UUID
    order: Order
    ends: frozenset[str]
    cancelled: bool = False


def plan(jobs: int, chance: random.Random) -> Sequence[Planned]:
    """One in ten is long, one in ten waits, one in ten is of a limited type, one in fifty is cancelled."""
    planned: list[Planned] = []
    for _ in range(jobs):
        planned.append(_planned(planned, chance))
    return planned


def _planned(earlier: Sequence[Planned], chance: random.Random) -> Planned:
    job_id = UUID(int=chance.getrandbits(128), version=4)
    [kind] = chance.choices(list(_KINDS), list(_KINDS.values()))
    milliseconds = chance.randint(10, 300)
    if chance.random() < 0.1:
        milliseconds = chance.randint(1000, 4000)
    cancelled = kind == "plain" and chance.random() < 0.04
    parents: Sequence[Planned] = ()
    if earlier and chance.random() < 0.1:
        fit = [it for it in earlier[-50:] if not it.cancelled]
        parents = chance.sample(fit, min(len(fit), chance.randint(1, 3)))
    policy = chance.choice(list(ParentPolicy))
    ends = FAILED if kind == "doomed" else COMPLETED
    if policy is ParentPolicy.FAIL and any(parent.ends == FAILED for parent in parents):
        ends = FAILED
    if cancelled:
        ends |= CANCELLED
    terms = Terms(
        priority=chance.choice(list(Priority)),
        max_attempts=2 if kind == "doomed" else None,
        timeout=timedelta(seconds=60),
        after=tuple(parent.id for parent in parents),
        on_parent_failure=policy,
        job_id=job_id,
    )
    type_name = chance.choices(["ordeal", "ordeal-limited"], [9, 1])[0]
    request = {"kind": kind, "milliseconds": 4000 if cancelled else milliseconds}
    return Planned(job_id, Order(type_name, request, terms), ends, cancelled)
