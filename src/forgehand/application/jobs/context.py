"""What a use case is told of the job that it runs for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from forgehand.domain.usage import Usage

T = TypeVar("T")
Level = Literal["debug", "info", "warning", "error"]


class JobContext(Protocol):
    """The job, from inside. Each method raises LeaseLost when the job is no longer ours: let it pass.

    Cancellation is `asyncio.CancelledError` and nothing else.
    """

    @property
    def job_id(self) -> UUID: ...

    @property
    def attempt(self) -> int:
        """Counts from 1."""
        ...

    @property
    def deadline(self) -> datetime | None:
        """When this attempt is cancelled for taking too long."""
        ...

    async def progress(self, percent: int, note: str | None = None, **counters: int) -> None:
        """0 to 100; a percentage outside is brought to the nearer end.

        Call it as often as you like: at most four a second are written, the last one always.
        """
        ...

    async def log(self, level: Level, message: str, **fields: Any) -> None:
        """Append to the job's log. Known secrets in `message` and `fields` are blotted out.

        A message over 4 kB and fields over 16 kB are cut; after 10,000 lines of a job the rest is dropped.
        """
        ...

    async def model_call(
        self, model: str, state: Literal["asked", "answered", "failed"], usage: Usage
    ) -> None:
        """Put a call to a model on record: before it is made, and once it ended."""
        ...

    async def step(self, key: str, work: Callable[[], Awaitable[T]], returns: type[T]) -> T:
        """Do `work` once for this job: a later attempt gets the remembered result.

        `returns` is the type of the result; it must go through JSON and come back equal (a pydantic
        model, a dataclass, or plain values).
        """
        ...
