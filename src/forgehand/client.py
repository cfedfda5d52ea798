"""Forgehand as a library: the use cases in your own event loop, with no server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from forgehand.application.jobs.failed import JobFailed
from forgehand.application.jobs.submit import Order, SubmitJob, Terms
from forgehand.domain.jobs import Priority

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from forgehand.application.jobs.processing import Processed
    from forgehand.container import Container, EnlistedJobs
    from forgehand.domain.documentation import Documentation
    from forgehand.domain.jobs import Job
    from forgehand.settings import Settings


_OURSELVES = "library"

__all__ = ["Enlisted", "Forgehand", "JobFailed", "Order", "Priority", "Terms"]


class Enlisted:
    """Submits in a caller's transaction; see `Forgehand.enlist`."""

    def __init__(self, submit_job: SubmitJob, jobs: EnlistedJobs) -> None:
        self._submit_job = submit_job
        self._jobs = jobs

    async def submit(self, job_type: str, terms: Terms | None = None, /, **request: Any) -> UUID:
        """Raise as Forgehand.submit; what goes wrong with the connection is SQLAlchemy's to say."""
        [job_id] = await self.submit_many([Order(job_type, request, terms or Terms())])
        return job_id

    async def submit_many(self, orders: Sequence[Order]) -> list[UUID]:
        """All of them or none."""
        new = self._submit_job.all_accepted(orders, _OURSELVES, self._submit_job.clock())
        return [it.job.id for it in await self._jobs.submit(new)]


class Forgehand:
    """Runs jobs in this process, and keeps them in memory unless told a database.

    Keywords are settings by name (`database_url`, `model`, `github_token`, …) and win over the
    environment. Local repositories may be anywhere on this machine, unless `local_roots` says where.
    Use it as an async context manager.
    """

    def __init__(self, settings: Settings | None = None, /, **keywords: Any) -> None:
        self._given = settings
        self._keywords = {"database_url": "sqlite://", "local_roots": (Path("/"),)} | keywords
        self._open = AsyncExitStack()
        self._opened: Container | None = None
        self._parts: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Raise InvalidSettings, UnusableDatabase, StoreOutdated, StoreNewer or StoreUnavailable."""
        from forgehand.container import opened
        from forgehand.settings import load

        settings = self._given or load(self._keywords)
        self._opened = await self._open.enter_async_context(opened(settings, **self._parts))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        await self._open.aclose()

    async def run(self, job_type: str, /, **request: Any) -> Any:
        """Do a job now, here, and return its result: the model that its type names (GenerateDocsResult, …).

        Raise UnknownJobType, InvalidRequest, or JobFailed for whatever ended the job.
        """
        job = await self._ended(await self.submit(job_type, **request))
        if job.state != "completed":
            raise JobFailed.of(job)
        return self._container.job_types().named(job_type).result.model_validate(job.result)

    async def submit(self, job_type: str, terms: Terms | None = None, /, **request: Any) -> UUID:
        """Queue a job for whichever worker has this database: when this returns, it is committed.

        Raise UnknownJobType, InvalidRequest with all that is wrong, or as Jobs.submit.
        """
        [job_id] = await self.submit_many([Order(job_type, request, terms or Terms())])
        return job_id

    async def submit_many(self, orders: Sequence[Order]) -> list[UUID]:
        """Queue all of them or none. Raise as `submit`, or DependencyCycle."""
        submissions = await self._container.submit_job().submit_many(orders, by=_OURSELVES)
        return [it.job.id for it in submissions]

    def enlist(self, connection: AsyncConnection) -> Enlisted:
        """Submit in a transaction of yours, over a connection to the database that holds the jobs.

        They are there when you commit, and never were when you roll back. No bell rings for them: a
        free worker finds them within 2 s.
        """
        return Enlisted(self._container.submit_job(), self._container.enlisted(connection=connection))

    async def process(self, *, limit: int = 10, types: Sequence[str] = ()) -> Processed:
        """Do up to `limit` jobs that are due, here, one attempt each: what drives it without a worker.

        Raise UnknownJobType or StoreUnavailable.
        """
        known = self._container.job_types()
        names = tuple(known.named(name).name for name in types) or known.names
        return await self._container.process_jobs().due(limit, names)

    async def process_job(self, job_id: UUID) -> Processed:
        """Do one job, here, if it is due: one attempt. Raise JobNotFound or StoreUnavailable."""
        return await self._container.process_jobs().one(job_id)

    async def job(self, job_id: UUID) -> Job:
        """Raise JobNotFound."""
        return await self._container.jobs().get(job_id)

    async def document(self, document_id: UUID) -> Documentation:
        """Raise DocumentationNotFound."""
        return await self._container.documentations().get(document_id)

    async def markdown(self, document_id: UUID) -> str:
        """A document as people read it. Raise DocumentationNotFound."""
        from forgehand.application.rendering import markdown

        return markdown(await self.document(document_id))

    async def _ended(self, job_id: UUID) -> Job:
        """The job, once it was run to its end."""
        return await self._container.run_now().run(job_id)

    @property
    def _container(self) -> Container:
        if self._opened is None:
            raise RuntimeError("open it first: `async with Forgehand() as hand: …`")
        return self._opened
