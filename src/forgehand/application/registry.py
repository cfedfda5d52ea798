"""All job types and how each is run. A new one is a use-case file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from forgehand.application.jobs.job_type import JobType, Policy, UnknownJobType
from forgehand.application.jobs.policies import PolicyChange
from forgehand.application.use_cases.generate_docs import (
    GenerateDocs,
    GenerateDocsRequest,
    GenerateDocsResult,
)
from forgehand.domain.jobs import RetryPolicy


def _retry(attempts: int, first_delay_seconds: int) -> RetryPolicy:
    return RetryPolicy(attempts, timedelta(seconds=first_delay_seconds))


POLICIES: Mapping[str, Policy] = {
    "generate-docs": Policy(timeout=timedelta(minutes=10)),
    "auto-resolve-issue": Policy(_retry(3, 2), concurrency=1),
    "comment-on-issue": Policy(_retry(3, 2), concurrency=3),
    "process-document": Policy(_retry(3, 2)),
    "send-notification": Policy(_retry(5, 1)),
    "analyze-compliance": Policy(_retry(3, 5)),
}
"""How job types are run, where that is not as `Policy()` has it."""


def policy_of(name: str) -> Policy:
    """The table's policy for that job type, else the default one."""
    return POLICIES.get(name, Policy())


def with_changes(types: tuple[JobType, ...], changes: Mapping[str, PolicyChange]) -> tuple[JobType, ...]:
    """`types` with the policies that an operator changed. Raise UnknownJobType for one that is not there."""
    known = [job_type.name for job_type in types]
    for name in changes:
        if name not in known:
            raise UnknownJobType(f"there is no job type {name!r}; there are: {', '.join(known)}")
    return tuple(
        replace(it, policy=changes[it.name].applied_to(it.policy)) if it.name in changes else it
        for it in types
    )


JOB_TYPES: tuple[JobType, ...] = (
    JobType(
        "generate-docs",
        GenerateDocsRequest,
        GenerateDocsResult,
        policy_of("generate-docs"),
        GenerateDocs,
    ),
)
