"""All job types. A new one is a use-case file and a line here."""

from __future__ import annotations

from datetime import timedelta

from forgehand.application.jobs.job_type import JobType, Policy
from forgehand.application.use_cases.generate_docs import (
    GenerateDocs,
    GenerateDocsRequest,
    GenerateDocsResult,
)

JOB_TYPES: tuple[JobType, ...] = (
    JobType(
        "generate-docs",
        GenerateDocsRequest,
        GenerateDocsResult,
        Policy(timeout=timedelta(minutes=10)),
        GenerateDocs,
    ),
)
