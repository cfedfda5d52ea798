"""What makes a job type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from forgehand.application.jobs.context import JobContext
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import RateLimit, RetryPolicy

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


LARGEST_PAYLOAD = 256 * 1024
"""Bytes of JSON that a request or a result may have."""


class InvalidJobType(DomainError):
    """A job type that could not work."""


class JobRequest(BaseModel):
    """What a job is asked to do. snake_case at rest, camelCase on the wire; unknown fields are errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        str_strip_whitespace=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # what slips through is refused when it is stored, not made null
    )
    schema_version: ClassVar[int] = 1


class JobResult(BaseModel):
    """What a job came to."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, ser_json_inf_nan="constants"
    )


Request = TypeVar("Request", bound=JobRequest, contravariant=True)
Result = TypeVar("Result", bound=JobResult, covariant=True)


class UseCase(Protocol[Request, Result]):
    """A frozen dataclass of ports. The container fills its fields by their type."""

    async def execute(self, request: Request, job: JobContext) -> Result: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long ended jobs are kept: completed ones, failed and cancelled ones, and at least the last N."""

    completed: timedelta = timedelta(hours=24)
    failed: timedelta = timedelta(hours=48)
    last: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """How a job type is run.

    `timeout` bounds one attempt; `concurrency` the jobs at once in one process, `running` in all
    processes together; `rate` how many start, in all processes together. None: no bound.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: timedelta = timedelta(minutes=30)
    concurrency: int = 5
    running: int | None = None
    rate: RateLimit | None = field(default_factory=lambda: RateLimit(100))
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True, slots=True)
class JobType:
    """A name (also its queue and its URL), what goes in and out, how it is run, and what runs it."""

    name: str
    request: type[JobRequest]
    result: type[JobResult]
    policy: Policy
    use_case: type[UseCase[Any, Any]]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidJobType(
                f"{self.name!r} is not a job type's name: lower-case words joined by hyphens"
            )

    @property
    def summary(self) -> str:
        """The first line of the use case's docstring."""
        return (self.use_case.__doc__ or "").strip().partition("\n")[0]


class UnknownJobType(DomainError):
    """No job type has that name; the message lists those there are."""


class JobTypes:
    """The job types of this process, by name."""

    def __init__(self, types: Iterable[JobType]) -> None:
        """Raise InvalidJobType where two have one name."""
        self._by_name: dict[str, JobType] = {}
        for job_type in types:
            if job_type.name in self._by_name:
                raise InvalidJobType(f"two job types are named {job_type.name!r}")
            self._by_name[job_type.name] = job_type

    def __iter__(self) -> Iterator[JobType]:
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def named(self, name: str) -> JobType:
        """Raise UnknownJobType."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(self._by_name)
            raise UnknownJobType(f"there is no job type {name!r}; there are: {known}") from None
