"""Accepting work: valid, stored, committed; then the bell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from forgehand.application.clock import Clock, new_id
from forgehand.application.jobs.job_type import JobRequest, JobType, JobTypes
from forgehand.application.jobs.payload import Unstorable, stored
from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.jobs import IdempotencyKey, Jobs, NewJob, Submission
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import JsonObject, ParentPolicy, Priority


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request. `field` is dotted, as the caller wrote it."""

    field: str
    problem: str


class InvalidRequest(DomainError):
    """The parameters do not fit the job type. `faults` names all that is wrong, at once."""

    def __init__(self, type_name: str, faults: tuple[Fault, ...]) -> None:
        said = "; ".join(f"{fault.field or 'request'}: {fault.problem}" for fault in faults)
        super().__init__(f"not a valid {type_name} request: {said}")
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job is to be run. None: as its type's policy says. `job_id` may be the caller's own UUID.

    It runs at `run_at`, or after `delay`, or at once.
    """

    priority: Priority = Priority.NORMAL
    run_at: datetime | None = None
    delay: timedelta | None = None
    max_attempts: int | None = None
    timeout: timedelta | None = None
    unique_key: str | None = None
    on_behalf_of: str | None = None
    tags: tuple[str, ...] = ()
    after: tuple[UUID, ...] = ()
    on_parent_failure: ParentPolicy = ParentPolicy.FAIL
    job_id: UUID | None = None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be submitted."""

    type_name: str
    parameters: Mapping[str, Any] | JobRequest
    terms: Terms = Terms()


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Stores jobs and rings the bell. A failing bell never fails a submission."""

    job_types: JobTypes
    jobs: Jobs
    bell: Bell
    clock: Clock

    async def submit(
        self, type_name: str, parameters: Mapping[str, Any] | JobRequest, *, by: str, terms: Terms = Terms()
    ) -> Submission:
        """On return the job is committed. Raise UnknownJobType, InvalidRequest, or as Jobs.submit."""
        [submission] = await self.submit_many([Order(type_name, parameters, terms)], by=by)
        return submission

    async def submit_many(self, orders: Sequence[Order], *, by: str) -> Sequence[Submission]:
        """All or none, in one statement and few rings. Raise the same for the first order at fault."""
        now = self.clock()
        submissions = await self.jobs.submit(self.all_accepted(orders, by, now))
        for queue in {it.job.type for it in submissions if it.created and it.job.run_at <= now}:
            self.bell.ring(queue)
        self.bell.ring(TOLD)
        return submissions

    def all_accepted(self, orders: Sequence[Order], by: str, now: datetime) -> Sequence[NewJob]:
        """The jobs that `orders` mean. Raise as `submit_many`, for what can be told without the store."""
        new = [self.accepted(order, by, now) for order in orders]
        _refuse_cycles(new)
        return new

    def accepted(self, order: Order, by: str, now: datetime) -> NewJob:
        """The job that `order` means, with all that is wrong with it said at once."""
        job_type = self.job_types.named(order.type_name)
        terms = order.terms
        faults = [*_faults(terms)]
        request: JsonObject = {}
        try:
            request = checked(job_type, order.parameters)
        except InvalidRequest as error:
            faults = [*error.faults, *faults]
        if faults:
            raise InvalidRequest(job_type.name, tuple(faults))
        return NewJob(
            id=terms.job_id or new_id(now),
            type=job_type.name,
            request=request,
            schema_version=job_type.request.schema_version,
            submitted_by=by,
            run_at=terms.run_at or now + (terms.delay or timedelta(0)),
            max_attempts=terms.max_attempts or job_type.policy.retry.max_attempts,
            priority=terms.priority,
            timeout=terms.timeout,
            on_behalf_of=terms.on_behalf_of,
            unique_key=terms.unique_key,
            tags=terms.tags,
            after=terms.after,
            on_parent_failure=terms.on_parent_failure,
            idempotency=terms.idempotency,
        )


_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@#-]{0,63}")
_MOST_ATTEMPTS = 100
_MOST_TAGS = 20
_MOST_PARENTS = 1000
_LONGEST_KEY = 255
_LONGEST = timedelta(days=3660)


def _faults(terms: Terms) -> Iterator[Fault]:
    yield from _faults_of_time(terms)
    if terms.max_attempts is not None and not 1 <= terms.max_attempts <= _MOST_ATTEMPTS:
        yield Fault("max_attempts", f"must be from 1 to {_MOST_ATTEMPTS}")
    if len(terms.tags) > _MOST_TAGS:
        yield Fault("tags", f"there are more than {_MOST_TAGS}")
    for tag in terms.tags:
        if not _TAG.fullmatch(tag):
            yield Fault("tags", f"{tag[:80]!r} is not a tag: up to 64 letters, digits and . _ : / @ # -")
    if len(terms.after) > _MOST_PARENTS:
        yield Fault("after", f"there are more than {_MOST_PARENTS}")
    for name, key in (("unique_key", terms.unique_key), ("on_behalf_of", terms.on_behalf_of)):
        if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
            yield Fault(name, f"must be 1 to {_LONGEST_KEY} printable characters")


def _faults_of_time(terms: Terms) -> Iterator[Fault]:
    if terms.run_at is not None and terms.run_at.tzinfo is None:
        yield Fault("run_at", "needs a time zone")
    if terms.run_at is not None and terms.delay is not None:
        yield Fault("delay", "and run_at exclude one another")
    if terms.delay is not None and not timedelta(0) <= terms.delay <= _LONGEST:
        yield Fault("delay", "must be from nothing to ten years")
    if terms.timeout is not None and not timedelta(0) < terms.timeout <= _LONGEST:
        yield Fault("timeout", "must be longer than nothing, and at most ten years")


class DependencyCycle(DomainError):
    """Jobs that wait for each other would wait for ever."""


def _refuse_cycles(new: Sequence[NewJob]) -> None:
    """Jobs that are stored already cannot wait for new ones, so only these can form a circle."""
    order = TopologicalSorter({job.id: list(job.after) for job in new})
    try:
        order.prepare()
    except CycleError as error:
        circle = " → ".join(str(it) for it in error.args[1])
        raise DependencyCycle(f"these jobs wait for each other: {circle}") from None


def checked(job_type: JobType, parameters: Mapping[str, Any] | JobRequest) -> JsonObject:
    """The request as JSON, in snake_case. Raise InvalidRequest."""
    try:
        request = job_type.request.model_validate(
            parameters.model_dump() if isinstance(parameters, JobRequest) else dict(parameters)
        )
    except ValidationError as error:
        faults = tuple(Fault(".".join(map(str, it["loc"])), it["msg"]) for it in error.errors())
        raise InvalidRequest(job_type.name, faults) from None
    try:
        return stored(request)
    except Unstorable as error:
        raise InvalidRequest(job_type.name, (Fault("", str(error)),)) from None
