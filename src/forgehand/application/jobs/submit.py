"""Accepting work: valid, stored, committed; then the bell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from forgehand.application.clock import Clock, new_id
from forgehand.application.jobs.job_type import JobRequest, JobType, JobTypes
from forgehand.application.ports.bell import Bell
from forgehand.application.ports.jobs import IdempotencyKey, Jobs, NewJob, Submission
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import JsonObject, Priority


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
    """How a job is to be run. None: as its type's policy says. `job_id` may be the caller's own UUID."""

    priority: Priority = Priority.NORMAL
    run_at: datetime | None = None
    max_attempts: int | None = None
    unique_key: str | None = None
    on_behalf_of: str | None = None
    job_id: UUID | None = None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Stores a job and rings the bell. A failing bell never fails a submission."""

    job_types: JobTypes
    jobs: Jobs
    bell: Bell
    clock: Clock

    async def submit(
        self, type_name: str, parameters: Mapping[str, Any] | JobRequest, *, by: str, terms: Terms = Terms()
    ) -> Submission:
        """On return the job is committed. Raise UnknownJobType, InvalidRequest, or as Jobs.submit."""
        job_type = self.job_types.named(type_name)
        request = checked(job_type, parameters)
        now = self.clock()
        new = NewJob(
            id=terms.job_id or new_id(now),
            type=job_type.name,
            request=request,
            schema_version=job_type.request.schema_version,
            submitted_by=by,
            run_at=terms.run_at or now,
            max_attempts=terms.max_attempts or job_type.policy.retry.max_attempts,
            priority=terms.priority,
            on_behalf_of=terms.on_behalf_of,
            unique_key=terms.unique_key,
            idempotency=terms.idempotency,
        )
        [submission] = await self.jobs.submit([new])
        if submission.created and new.run_at <= now:
            self.bell.ring(job_type.name)
        return submission


def checked(job_type: JobType, parameters: Mapping[str, Any] | JobRequest) -> JsonObject:
    """The request as JSON, in snake_case. Raise InvalidRequest."""
    try:
        request = job_type.request.model_validate(
            parameters.model_dump() if isinstance(parameters, JobRequest) else dict(parameters)
        )
    except ValidationError as error:
        faults = tuple(Fault(".".join(map(str, it["loc"])), it["msg"]) for it in error.errors())
        raise InvalidRequest(job_type.name, faults) from None
    stored: dict[str, Any] = request.model_dump(mode="json")
    if not _storable(stored):
        raise InvalidRequest(job_type.name, (Fault("", "text holds a NUL or half a surrogate pair"),))
    return stored


def _storable(value: JsonObject) -> bool:
    """PostgreSQL's JSON holds neither NUL nor lone surrogates."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in text
