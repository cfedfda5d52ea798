"""The application: routes, what they are given, and what stands before them."""

from __future__ import annotations

from typing import Any, cast

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.plugins.pydantic import PydanticPlugin

from forgehand.application.jobs.watching import Watching
from forgehand.container import Container
from forgehand.entrypoints.http import documents, health, jobs, openapi, operating, schedules, streaming
from forgehand.entrypoints.http.front import Front
from forgehand.entrypoints.http.gate import Gate
from forgehand.entrypoints.http.health import Readiness
from forgehand.entrypoints.http.in_process import InProcess
from forgehand.entrypoints.http.options import written_terms
from forgehand.entrypoints.http.problems import JsonRequest, Problems
from forgehand.entrypoints.http.views import JobViews


def create_app(container: Container) -> Litestar:
    """The API over what `container` wires. Its lifespan must be run: it hands back the jobs that run here."""
    running = InProcess(
        container.jobs(), container.run_now(), container.process_jobs(), container.settings().concurrency
    )
    watching = container.watching()
    redactor = container.redactor()
    problems = Problems(redactor)
    app = Litestar(
        [health.health, health.ready, _api(container)],
        dependencies=_dependencies(container, running, watching),
        exception_handlers={Exception: problems.answer},
        lifespan=[running.opened, lambda _: watching.opened()],
        logging_config=None,
        openapi_config=openapi.config(container.job_types()),
        plugins=[PydanticPlugin(prefer_alias=True)],
        request_class=JsonRequest,
        request_max_body_size=jobs.LARGEST_BODY,
    )
    app.state.in_process = running
    app.state.watching = watching
    # Litestar's own middleware stands behind its router; these stand before it.
    app.asgi_handler = Front(Gate(app.asgi_handler, container.tokens(), problems), redactor.text)
    return app


def in_process(app: Litestar) -> InProcess:
    """The jobs that run in this process for those who wait."""
    return cast("InProcess", app.state.in_process)


def watching(app: Litestar) -> Watching:
    """What reads events for the streams; closed, they end."""
    return cast("Watching", app.state.watching)


def _api(container: Container) -> Router:
    return Router(
        "/api",
        route_handlers=[
            *(jobs.submission_route(job_type) for job_type in container.job_types()),
            *(jobs.batch_route(job_type) for job_type in container.job_types()),
            jobs.refuse_unknown_type,
            jobs.list_jobs,
            jobs.get_job,
            jobs.list_events,
            documents.list_documents,
            documents.get_document,
            documents.diff_documents,
            documents.get_pull_request,
            *schedules.ROUTES,
            *operating.ROUTES,
            *streaming.ROUTES,
        ],
    )


def _dependencies(container: Container, running: InProcess, watching: Watching) -> dict[str, Provide]:
    job_views = JobViews(container.job_types(), container.clock())
    readiness = Readiness(container.checks(), container.redactor().text)
    return {
        "clock": _given(container.clock()),
        "control": _given(container.control()),
        "documentations": _given(container.documentations()),
        "in_process": _given(running),
        "job_types": _given(container.job_types()),
        "job_views": _given(job_views),
        "jobs": _given(container.jobs()),
        "operate_jobs": _given(container.operate_jobs()),
        "readiness": _given(readiness),
        "keep_schedules": _given(container.keep_schedules()),
        "records": _given(container.records()),
        "submit_job": _given(container.submit_job()),
        "watching": _given(watching),
        "written_terms": Provide(written_terms),
    }


def _given(value: Any) -> Provide:
    def give() -> Any:
        return value

    return Provide(give, sync_to_thread=False)
