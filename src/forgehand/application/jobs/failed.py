"""What a caller is told who waited for a job that did not complete."""

from __future__ import annotations

from forgehand.domain.jobs import Job


class JobFailed(Exception):
    """The job did not complete. `kind` names the problem (the class of the error that ended it)."""

    def __init__(self, kind: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail

    @classmethod
    def of(cls, job: Job) -> JobFailed:
        if job.problem is not None and job.state == "failed":
            return cls(job.problem.kind, job.problem.message, job.problem.detail)
        return cls("JobCancelled", f"job {job.id} is {job.state}, not completed")
