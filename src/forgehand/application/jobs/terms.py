"""The terms of a submission, as people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from forgehand.application.jobs.submit import Fault, InvalidRequest, Terms
from forgehand.domain.errors import DomainError
from forgehand.domain.jobs import ParentPolicy, Priority

T = TypeVar("T")

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)?")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class WrittenTerms:
    """Options in words. A duration is a number of seconds, or has a unit: `90`, `500ms`, `5m`, `2h`, `1d`."""

    priority: str | None = None
    run_at: str | None = None
    delay: str | None = None
    max_attempts: int | None = None
    timeout: str | None = None
    unique_key: str | None = None
    tags: Sequence[str] = ()
    after: Sequence[str] = ()
    on_parent_failure: str | None = None

    def read(self, type_name: str, now: datetime) -> Terms:
        """Raise InvalidRequest with all that is wrong."""
        faults: list[Fault] = []

        def parsed(name: str, parse: Callable[[str], T], text: str | None, otherwise: T) -> T:
            if text is None:
                return otherwise
            try:
                return parse(text)
            except (ValueError, DomainError) as error:
                faults.append(Fault(name, str(error)))
                return otherwise

        if self.run_at is not None and self.delay is not None:
            faults.append(Fault("delay", "and run_at exclude one another"))
        delay = parsed("delay", duration, self.delay, None)
        run_at = parsed("run_at", _moment, self.run_at, None if delay is None else now + delay)
        after = tuple(parsed("after", _job_id, text, UUID(int=0)) for text in self.after)
        terms = Terms(
            priority=parsed("priority", Priority.parse, self.priority, Priority.NORMAL),
            run_at=run_at,
            max_attempts=self.max_attempts,
            timeout=parsed("timeout", duration, self.timeout, None),
            unique_key=self.unique_key,
            tags=tuple(self.tags),
            after=after,
            on_parent_failure=parsed(
                "on_parent_failure", _parent_policy, self.on_parent_failure, ParentPolicy.FAIL
            ),
        )
        if faults:
            raise InvalidRequest(type_name, tuple(faults))
        return terms


def duration(text: str) -> timedelta:
    """Raise ValueError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"{text[:40]!r} is not a duration: write it as 90, 500ms, 5m, 2h or 1d")
    length = float(found[1]) * _UNITS[found[2] or "s"]
    if length > _LONGEST:
        raise ValueError(f"{text[:40]!r} is longer than ten years")
    return length


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time: write it as 2030-05-31T12:00:00Z") from None


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a job's id") from None


def _parent_policy(text: str) -> ParentPolicy:
    try:
        return ParentPolicy(text.strip().lower())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is none of: {', '.join(ParentPolicy)}") from None
