"""The jobs of the chaos: short; some fail first, report, remember a step or submit others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid5

from dependency_injector import providers

from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, JobTypes, Policy, UseCase
from forgehand.application.jobs.running import LeasedContext
from forgehand.application.jobs.submit import SubmitJob, Terms
from forgehand.container import Container
from forgehand.domain.jobs import Lease, RetryPolicy
from tests.chaos.ledger import Ledger

Kind = Literal["plain", "flaky", "reporting", "paying", "parent", "doomed"]
COMPLETED, FAILED, CANCELLED = (frozenset({state}) for state in ("completed", "failed", "cancelled"))


class OrdealRequest(JobRequest):
    """What to do, and for how long."""

    kind: Kind
    milliseconds: int


class OrdealResult(JobResult):
    """What the step remembered, where there was one."""

    paid: int | None = None


class OrdealFailed(Exception):
    """This attempt was meant to fail."""


def child_of(job_id: UUID) -> UUID:
    """The one child that a parent submits, however often it runs."""
    return uuid5(job_id, "child")


@dataclass(frozen=True, slots=True)
class Ordeal:
    """Have effects for a while."""

    ledger: Ledger
    submit_job: SubmitJob

    async def execute(self, request: OrdealRequest, job: JobContext) -> OrdealResult:
        if not isinstance(job, LeasedContext):
            raise TypeError("the ledger wants the lease")
        lease, how = job.claimed.lease, "failed"
        self.ledger.begin(lease)
        try:
            result = OrdealResult(paid=await self._suffer(request, job, lease))
            how = "done"
        except asyncio.CancelledError:
            how = "cancelled"
            raise
        else:
            return result
        finally:
            self.ledger.end(lease, how)

    async def _suffer(self, request: OrdealRequest, job: JobContext, lease: Lease) -> int | None:
        half = request.milliseconds / 2000
        paid: int | None = None
        await asyncio.sleep(half)
        match request.kind:
            case "flaky" if job.attempt == 1:
                raise OrdealFailed("the first attempt always fails")
            case "doomed":
                raise OrdealFailed("every attempt fails")
            case "reporting":
                await job.progress(50, "half way")
                await job.log("info", "half way", attempt=job.attempt)
            case "paying":
                paid = await job.step("pay", lambda: self._pay(lease.job_id), int)
            case "parent":
                await self._bear(lease.job_id)
        await asyncio.sleep(half)
        return paid

    async def _pay(self, job_id: UUID) -> int:
        value = random.getrandbits(40)
        self.ledger.paid(job_id, value)
        return value

    async def _bear(self, job_id: UUID) -> None:
        child, request = child_of(job_id), {"kind": "plain", "milliseconds": 20}
        terms = Terms(job_id=child, after=(job_id,))
        await self.submit_job.submit("ordeal-child", request, by="chaos", terms=terms)
        self.ledger.submitted(child, COMPLETED)


def _type(name: str, **policy: Any) -> JobType:
    retry = RetryPolicy(40, timedelta(milliseconds=200), timedelta(seconds=2))
    terms = Policy(retry, timeout=timedelta(minutes=1), rate=None, **policy)
    return JobType(name, OrdealRequest, OrdealResult, terms, Ordeal)


JOB_TYPES = JobTypes(
    [
        _type("ordeal", concurrency=100),
        _type("ordeal-child", concurrency=100),
        _type("ordeal-limited", concurrency=100, running=4),
    ]
)


def refit(container: Container, ledger: Ledger) -> None:
    """Let `container` know these job types and no other."""

    def build(use_case: type[UseCase[Any, Any]]) -> UseCase[Any, Any]:
        return Ordeal(ledger, container.submit_job())

    built: Callable[[type[UseCase[Any, Any]]], UseCase[Any, Any]] = build
    container.job_types.override(providers.Object(JOB_TYPES))
    container.build_use_case.override(providers.Object(built))
