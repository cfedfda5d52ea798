"""What an operator may change of a job type's policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from forgehand.application.jobs.job_type import Policy
from forgehand.domain.jobs import RateLimit

_YEAR_OF_HOURS = 24 * 366
_DAY_OF_SECONDS = 24 * 3600


class PolicyChange(BaseModel):
    """What is not given stays as it is. 0 takes away the bounds `running` and `rate_starts`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int | None = Field(None, ge=1, le=100)
    first_delay_seconds: float | None = Field(None, ge=0, le=3600)
    timeout_seconds: float | None = Field(None, gt=0, le=7 * _DAY_OF_SECONDS)
    concurrency: int | None = Field(None, ge=1, le=1000)
    running: int | None = Field(None, ge=0, le=1_000_000)
    rate_starts: int | None = Field(None, ge=0, le=1_000_000)
    rate_seconds: float | None = Field(None, gt=0, le=_DAY_OF_SECONDS)
    keep_completed_hours: float | None = Field(None, ge=0, le=100 * _YEAR_OF_HOURS)
    keep_failed_hours: float | None = Field(None, ge=0, le=100 * _YEAR_OF_HOURS)
    keep_last: int | None = Field(None, ge=0, le=1_000_000_000)

    def applied_to(self, policy: Policy) -> Policy:
        """`policy` with these changes."""
        return replace(
            policy,
            retry=replace(
                policy.retry,
                max_attempts=_or(self.max_attempts, policy.retry.max_attempts),
                first_delay=_time(self.first_delay_seconds, "seconds", policy.retry.first_delay),
            ),
            timeout=_time(self.timeout_seconds, "seconds", policy.timeout),
            concurrency=_or(self.concurrency, policy.concurrency),
            running=policy.running if self.running is None else self.running or None,
            rate=self._rate(policy.rate),
            retention=replace(
                policy.retention,
                completed=_time(self.keep_completed_hours, "hours", policy.retention.completed),
                failed=_time(self.keep_failed_hours, "hours", policy.retention.failed),
                last=_or(self.keep_last, policy.retention.last),
            ),
        )

    def _rate(self, rate: RateLimit | None) -> RateLimit | None:
        if self.rate_starts == 0:
            return None
        if self.rate_starts is None and (rate is None or self.rate_seconds is None):
            return rate
        starts = _or(self.rate_starts, rate.starts if rate else 0)
        return RateLimit(
            starts, _time(self.rate_seconds, "seconds", rate.per if rate else timedelta(minutes=1))
        )


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def _time(given: float | None, unit: str, otherwise: timedelta) -> timedelta:
    return otherwise if given is None else timedelta(**{unit: given})
