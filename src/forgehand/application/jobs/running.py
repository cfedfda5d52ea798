"""Running one claimed job and judging how it ended."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from forgehand.application.clock import Clock
from forgehand.application.jobs.context import Level
from forgehand.application.jobs.job_type import JobRequest, JobType, JobTypes, UnknownJobType, UseCase
from forgehand.application.jobs.payload import (
    TooLarge,
    Unstorable,
    require_storable,
    storable_text,
    stored,
)
from forgehand.application.jobs.recording import LogLines, Pace, log_line, progress_line
from forgehand.application.jobs.time_limit import TimeLimit
from forgehand.application.ports.failures import Permanent, Transient
from forgehand.application.ports.leases import LeaseLost, Leases
from forgehand.application.redaction import Redactor
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import Claimed, EventKind, Job, JobProblem, JsonObject, Settlement
from forgehand.domain.usage import Usage

T = TypeVar("T")
_LONGEST_MESSAGE = 2_000
_LONGEST_DETAIL = 8_000


class ResultTooLarge(Permanent):
    """What a job came to does not fit into its row; large things belong elsewhere."""


class ResultUnstorable(Permanent):
    """What a job or a step came to is not JSON that every database stores."""


class RequestUnreadable(Permanent):
    """The stored request no longer fits its job type."""


class RetryLater(Exception):
    """A use case asks to be run again after `wait`; it costs no attempt."""

    def __init__(self, wait: timedelta, reason: str = "the job asked to be run later") -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class RunJob:
    """Runs a claimed job's use case. `build` makes the use case; `jitter` gives a number in [0, 1).

    `told` is called when a job has said something.
    """

    job_types: JobTypes
    build: Callable[[type[UseCase[Any, Any]]], UseCase[Any, Any]]
    leases: Leases
    clock: Clock
    redact: Redactor
    jitter: Callable[[], float]
    told: Callable[[], None] = lambda: None

    async def run(self, claimed: Claimed) -> Settlement | None:
        """How the attempt is to be settled; None where its lease was lost. CancelledError passes."""
        try:
            job_type = self.job_types.named(claimed.job.type)
            result = await self._execute(job_type, claimed)
        except LeaseLost:
            return None
        except RetryLater as error:
            return claimed.snooze(self._problem(error), self.clock(), max(error.wait, timedelta(0)))
        except (DomainError, Permanent) as error:
            return claimed.fail(self._problem(error), self.clock())
        except Exception as error:  # noqa: BLE001 - whatever a use case raises ends its attempt, not the worker
            return self.failed(claimed, error)
        return claimed.complete(result, self.clock())

    def failed(self, claimed: Claimed, error: Exception) -> Settlement:
        """The attempt is spent; the job is tried again where one is left."""
        return claimed.try_again(self._problem(error), self.clock(), self._wait(claimed, error))

    async def _execute(self, job_type: JobType, claimed: Claimed) -> JsonObject:
        request = _request(job_type, claimed.job)
        limit = claimed.job.timeout or job_type.policy.timeout
        context = LeasedContext(
            claimed, self.leases, self.clock, self.redact, self.clock() + limit, self.told
        )
        try:
            async with TimeLimit(limit):
                result = await self.build(job_type.use_case).execute(request, context)
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"the job tried to end its worker: {error!r}") from error
        finally:
            await context.close()
        try:
            return stored(job_type.result.model_validate(result))
        except TooLarge as error:
            raise ResultTooLarge(f"the result of {job_type.name} {error}") from None
        except Unstorable as error:
            raise ResultUnstorable(f"the result of {job_type.name} {error}") from None

    def _wait(self, claimed: Claimed, error: Exception) -> timedelta:
        try:
            policy = self.job_types.named(claimed.job.type).policy.retry
        except UnknownJobType:
            return timedelta(minutes=1)
        wait = policy.delay_after(claimed.lease.attempt, self.jitter())
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(wait, asked) if asked is not None else wait

    def _problem(self, error: Exception) -> JobProblem:
        kind = type(error).__name__
        message = self._said(_text_of(error) or kind)[:_LONGEST_MESSAGE]
        if isinstance(error, DomainError | Permanent | Transient | RetryLater):
            return JobProblem(kind, message)
        trace = "".join(traceback.format_exception(error))
        return JobProblem(kind, message, self._said(trace)[-_LONGEST_DETAIL:])

    def _said(self, text: str) -> str:
        return self.redact.text(storable_text(text))


def _request(job_type: JobType, job: Job) -> JobRequest:
    """What is asked for, as its type. Raise RequestUnreadable."""
    known = job_type.request.schema_version
    if job.schema_version > known:
        raise RequestUnreadable(
            f"a newer version of Forgehand wrote this {job_type.name} request (its version is"
            f" {job.schema_version}, {known} is known here): upgrade this worker, then replay the job"
        )
    try:
        return job_type.request.model_validate(job.request)
    except ValidationError as error:
        raise RequestUnreadable(f"the stored request does not fit {job_type.name}: {error}") from None


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot say what it is ends its attempt all the same
        return ""


@dataclass(frozen=True, slots=True)
class LeasedContext:
    """JobContext over a lease: every write is fenced by it."""

    claimed: Claimed
    leases: Leases
    clock: Clock
    redact: Redactor
    ends_at: datetime
    told: Callable[[], None]
    pace: Pace = field(init=False)
    lines: LogLines = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pace", Pace(partial(self._report, EventKind.PROGRESS)))
        object.__setattr__(self, "lines", LogLines(partial(self.leases.logged, self.claimed.lease)))

    async def close(self) -> None:
        """Write the newest progress, if it is not written yet."""
        await self.pace.close()

    @property
    def job_id(self) -> UUID:
        return self.claimed.job.id

    @property
    def attempt(self) -> int:
        return self.claimed.lease.attempt

    @property
    def deadline(self) -> datetime | None:
        return self.ends_at

    async def progress(self, percent: int, note: str | None = None, **counters: int) -> None:
        await self.pace.tell(progress_line(self.redact, percent, note, counters))

    async def log(self, level: Level, message: str, **fields: Any) -> None:
        line = await self.lines.next(log_line(self.redact, level, message, fields))
        if line is not None:
            await self._report(EventKind.LOG, line)

    async def model_call(
        self, model: str, state: Literal["asked", "answered", "failed"], usage: Usage
    ) -> None:
        await self._report(EventKind.MODEL_CALL, {"model": model, "state": state, **asdict(usage)})

    async def step(self, key: str, work: Callable[[], Awaitable[T]], returns: type[T]) -> T:
        adapter = TypeAdapter(returns)
        kept = await self.leases.recall(self.claimed.lease, key)
        if kept is not None:
            return adapter.validate_python(kept["value"])
        value = await work()
        dumped = adapter.dump_python(value, mode="json")
        try:
            require_storable(dumped)
        except Unstorable as error:
            raise ResultUnstorable(f"the result of step {key!r} {error}") from None
        await self.leases.remember(self.claimed.lease, key, {"value": dumped})
        return value

    async def _report(self, kind: EventKind, data: JsonObject) -> None:
        await self.leases.report(self.claimed.lease, kind, data, self.clock())
        self.told()
