"""Documentation for a merged pull request."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from forgehand.application.jobs.job_type import JobRequest, JobResult
from forgehand.domain.usage import Usage


class GenerateDocsRequest(JobRequest):
    """Which pull request to document, and what to do with the document."""

    repo: str = Field(min_length=1, max_length=4096, description="owner/name, or the path of a local clone")
    number: int = Field(ge=1, le=2**31 - 1, description="the merged pull request's number")
    publish: bool = Field(False, description="post the document as one comment, updated in place on a rerun")
    use_model: bool = Field(True, description="false: facts only, no model is called")


class GenerateDocsResult(JobResult):
    """Which document the job came to; `created` is false where nothing had changed since."""

    documentation_id: UUID
    repo: str
    number: int
    version: int
    created: bool
    model: str | None
    usage: Usage
    published_url: str | None = None
