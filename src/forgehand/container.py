"""The only file that names adapters."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from types import NoneType
from typing import Any, TypeAlias, get_args, get_type_hints
from uuid import UUID

from dependency_injector import containers, providers
from pydantic import SecretStr

from forgehand.application.clock import Clock, utc_now
from forgehand.application.diffs import IgnoreGlobs
from forgehand.application.jobs.heart import OpenUpkeep, Watch
from forgehand.application.jobs.job_type import InvalidJobType, JobTypes, UnknownJobType, UseCase
from forgehand.application.jobs.keeping import Keeper
from forgehand.application.jobs.operating import OperateJobs
from forgehand.application.jobs.processing import ProcessJobs
from forgehand.application.jobs.pump import Pump
from forgehand.application.jobs.run_now import RunNow
from forgehand.application.jobs.running import RunJob
from forgehand.application.jobs.scheduling import KeepSchedules, Scheduler
from forgehand.application.jobs.submit import SubmitJob
from forgehand.application.jobs.watching import Watching
from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.code_host import CodeHost
from forgehand.application.ports.comments import Comments
from forgehand.application.ports.documentations import Documentations, PullRequestRecords
from forgehand.application.ports.jobs import JobControl, Jobs
from forgehand.application.ports.language_model import LanguageModel
from forgehand.application.ports.leases import Leases
from forgehand.application.ports.schedules import DueSchedules, Schedules
from forgehand.application.ports.syntax import Syntax
from forgehand.application.ports.tokens import Tokens
from forgehand.application.ports.upkeep import Upkeep
from forgehand.application.redaction import Redactor
from forgehand.application.registry import JOB_TYPES, with_changes
from forgehand.infrastructure.code_hosts import CodeHosts
from forgehand.infrastructure.cron import read_timing
from forgehand.infrastructure.git import LocalGit
from forgehand.infrastructure.github import GitHub
from forgehand.infrastructure.llm.choose import choose_model
from forgehand.infrastructure.llm.prices import most_expensive
from forgehand.infrastructure.llm.scripted import ScriptedModel as ScriptedModel
from forgehand.infrastructure.queue import embedded_bell as embedded_bell
from forgehand.infrastructure.queue import redis_bell
from forgehand.infrastructure.queue.answering import require_redis
from forgehand.infrastructure.sql.control import SqlJobControl
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.documentations import SqlDocumentations, SqlPullRequestRecords
from forgehand.infrastructure.sql.enlisting import EnlistedJobs as EnlistedJobs
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.infrastructure.sql.leases import SqlLeases
from forgehand.infrastructure.sql.schedules import SqlSchedules
from forgehand.infrastructure.sql.schema import HEAD, prepare, require_current, upgrade
from forgehand.infrastructure.sql.tokens import SqlTokens
from forgehand.infrastructure.sql.upkeep import SqlUpkeep
from forgehand.infrastructure.syntax.tree_sitter_syntax import TreeSitterSyntax
from forgehand.settings import InvalidSettings, Settings

BuildUseCase: TypeAlias = Callable[[type[UseCase[Any, Any]]], UseCase[Any, Any]]


class Closing:
    """What was built and has to be closed, the last first."""

    def __init__(self) -> None:
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def add(self, close: Callable[[], Awaitable[None]]) -> None:
        self._closers.append(close)

    async def close(self) -> None:
        while self._closers:
            await self._closers.pop()()


def _database(settings: Settings, closing: Closing) -> Database:
    database = Database(settings.database)
    closing.add(database.close)
    return database


def _bell(settings: Settings, closing: Closing) -> Bell:
    if settings.redis_url is None:
        bell = embedded_bell()
    else:
        bell = redis_bell(settings.redis_url.get_secret_value(), settings.redis_namespace)
    closing.add(partial(asyncio.to_thread, bell.close))
    return bell


def _checks(database: Database, settings: Settings) -> dict[str, Callable[[], Awaitable[None]]]:
    """What has to answer for work to go on, by name; a check raises where it does not."""
    checks: dict[str, Callable[[], Awaitable[None]]] = {"database": partial(require_current, database)}
    if settings.redis_url is not None:
        checks["redis"] = partial(require_redis, settings.redis_url.get_secret_value())
    return checks


def _hosts(settings: Settings, closing: Closing) -> CodeHosts:
    github = GitHub(_revealed(settings.github_token), settings.github_api_url)
    closing.add(github.close)
    return CodeHosts(local=LocalGit(settings.local_roots), remote=github)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _model(settings: Settings, closing: Closing) -> LanguageModel | None:
    model = choose_model(
        settings.model,
        anthropic_api_key=_revealed(settings.anthropic_api_key),
        anthropic_base_url=settings.anthropic_base_url,
        gemini_api_key=_revealed(settings.gemini_api_key),
        google_gemini_base_url=settings.google_gemini_base_url,
    )
    if model is not None:
        closing.add(model.close)
    return model


def _jobs(database: Database, clock: Clock) -> Jobs:
    return SqlJobs(database, clock)


def _leases(database: Database) -> Leases:
    return SqlLeases(database)


def _upkeep(database: Database) -> Upkeep:
    return SqlUpkeep(database)


def _open_upkeep(settings: Settings, database: Database) -> OpenUpkeep | None:
    """Upkeep over a connection of its own, for another thread; a database in memory has but the one."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Upkeep]:
        own = Database(settings.database)
        try:
            yield SqlUpkeep(own)
        finally:
            await own.close()

    return None if database.in_memory else opened


def _control(database: Database) -> JobControl:
    return SqlJobControl(database)


def _schedules(database: Database) -> Schedules:
    return SqlSchedules(database)


def _due_schedules(database: Database) -> DueSchedules:
    return SqlSchedules(database)


def _keep_schedules(schedules: Schedules, submit_job: SubmitJob, clock: Clock) -> KeepSchedules:
    return KeepSchedules(schedules, submit_job, read_timing, clock)


def _scheduler(due_schedules: DueSchedules, submit_job: SubmitJob, clock: Clock) -> Scheduler:
    return Scheduler(due_schedules, submit_job, read_timing, clock)


def _documentations(database: Database) -> Documentations:
    return SqlDocumentations(database)


def _records(database: Database) -> PullRequestRecords:
    return SqlPullRequestRecords(database)


def _tokens(database: Database, clock: Clock) -> Tokens:
    return SqlTokens(database, clock)


def _syntax() -> Syntax:
    return TreeSitterSyntax()


def _redactor(settings: Settings) -> Redactor:
    return Redactor(settings.secrets)


def _ignore(settings: Settings) -> IgnoreGlobs:
    return IgnoreGlobs(settings.docs_ignore)


def _job_types(settings: Settings) -> JobTypes:
    try:
        return JobTypes(with_changes(JOB_TYPES, settings.policies))
    except UnknownJobType as error:
        raise InvalidSettings(f"FORGEHAND_POLICIES: {error}") from None


def _submit_job(job_types: JobTypes, jobs: Jobs, bell: Bell, clock: Clock) -> SubmitJob:
    return SubmitJob(job_types, jobs, bell, clock)


def _run_job(
    job_types: JobTypes,
    build: BuildUseCase,
    leases: Leases,
    clock: Clock,
    redactor: Redactor,
    jitter: Callable[[], float],
    bell: Bell,
) -> RunJob:
    return RunJob(job_types, build, leases, clock, redactor, jitter, partial(bell.ring, TOLD))


def _pump(
    run_job: RunJob,
    leases: Leases,
    upkeep: Upkeep,
    open_upkeep: OpenUpkeep | None,
    bell: Bell,
    clock: Clock,
    settings: Settings,
    queues: tuple[str, ...],
    only: UUID | None = None,
    concurrency: int | None = None,
) -> Pump:
    return Pump(
        run_job=run_job,
        leases=leases,
        upkeep=upkeep,
        bell=bell,
        clock=clock,
        worker_label=f"{socket.gethostname()}:{os.getpid()}",
        queues={name: run_job.job_types.named(name).policy for name in queues},
        concurrency=1 if only else concurrency or settings.concurrency,
        watch=Watch(settings.lease_seconds),
        only=only,
        open_upkeep=None if only else open_upkeep,
    )


def _process_jobs(
    jobs: Jobs,
    run_job: RunJob,
    leases: Leases,
    upkeep: Upkeep,
    open_upkeep: OpenUpkeep | None,
    bell: Bell,
    clock: Clock,
    scheduler: Scheduler,
    keeper: Keeper,
    settings: Settings,
) -> ProcessJobs:
    def make_pump(
        *, leases: Leases, bell: Bell, queues: Sequence[str], concurrency: int, only: UUID | None
    ) -> Pump:
        parts = (run_job, leases, upkeep, open_upkeep, bell, clock, settings)
        return _pump(*parts, queues=tuple(queues), only=only, concurrency=concurrency)

    lease_time = timedelta(seconds=settings.lease_seconds)
    return ProcessJobs(
        jobs, leases, upkeep, bell, clock, scheduler, keeper, lease_time, settings.concurrency, make_pump
    )


def _operate_jobs(
    jobs: Jobs, control: JobControl, upkeep: Upkeep, bell: Bell, clock: Clock, settings: Settings
) -> OperateJobs:
    lease_time = timedelta(seconds=settings.lease_seconds)
    return OperateJobs(jobs, control, upkeep, bell, clock, lease_time)


def _keeper(job_types: JobTypes, control: JobControl, clock: Clock) -> Keeper:
    return Keeper(job_types, control, clock)


def _watching(jobs: Jobs, bell: Bell) -> Watching:
    return Watching(jobs, bell)


def _run_now(jobs: Jobs, make_pump: Callable[..., Pump]) -> RunNow:
    return RunNow(jobs, lambda queue, job_id: make_pump(queues=(queue,), only=job_id))


class Container(containers.DeclarativeContainer):
    """How the parts are put together. Make it with `opened`, which also closes what was built."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    clock: providers.Object[Clock] = providers.Object(utc_now)
    jitter: providers.Object[Callable[[], float]] = providers.Object(random.random)
    closing = providers.Singleton(Closing)
    most_expensive = providers.Object(most_expensive)

    database = providers.Singleton(_database, settings, closing)
    prepare = providers.Callable(prepare, database)
    bell = providers.Singleton(_bell, settings, closing)
    checks = providers.Singleton(_checks, database, settings)
    hosts = providers.Singleton(_hosts, settings, closing)
    model = providers.Singleton(_model, settings, closing)
    syntax = providers.Singleton(_syntax)
    redactor = providers.Singleton(_redactor, settings)
    ignore = providers.Singleton(_ignore, settings)

    jobs = providers.Singleton(_jobs, database, clock)
    leases = providers.Singleton(_leases, database)
    upkeep = providers.Singleton(_upkeep, database)
    enlisted = providers.Factory(EnlistedJobs, clock=clock)
    open_upkeep = providers.Singleton(_open_upkeep, settings, database)
    control = providers.Singleton(_control, database)
    schedules = providers.Singleton(_schedules, database)
    due_schedules = providers.Singleton(_due_schedules, database)
    documentations = providers.Singleton(_documentations, database)
    records = providers.Singleton(_records, database)
    tokens = providers.Singleton(_tokens, database, clock)

    job_types = providers.Singleton(_job_types, settings)
    ports = providers.Dict(
        {
            CodeHost: hosts.provider,
            Comments: hosts.provider,
            LanguageModel: model.provider,
            Syntax: syntax.provider,
            Documentations: documentations.provider,
            PullRequestRecords: records.provider,
            IgnoreGlobs: ignore.provider,
            Clock: clock.provider,
        }
    )
    build_use_case: providers.Callable[Any] = providers.Callable(lambda ports: partial(_build, ports), ports)

    submit_job = providers.Singleton(_submit_job, job_types, jobs, bell, clock)
    keep_schedules = providers.Singleton(_keep_schedules, schedules, submit_job, clock)
    scheduler = providers.Singleton(_scheduler, due_schedules, submit_job, clock)
    keeper = providers.Singleton(_keeper, job_types, control, clock)
    run_job = providers.Singleton(_run_job, job_types, build_use_case, leases, clock, redactor, jitter, bell)
    pump = providers.Factory(_pump, run_job, leases, upkeep, open_upkeep, bell, clock, settings)
    run_now = providers.Singleton(_run_now, jobs, pump.provider)
    process_jobs = providers.Singleton(
        _process_jobs, jobs, run_job, leases, upkeep, open_upkeep, bell, clock, scheduler, keeper, settings
    )
    operate_jobs = providers.Singleton(_operate_jobs, jobs, control, upkeep, bell, clock, settings)
    watching = providers.Factory(_watching, jobs, bell)


def _build(ports: dict[Any, Callable[[], Any]], use_case: type[UseCase[Any, Any]]) -> UseCase[Any, Any]:
    """Fill the fields of `use_case` by their types. Raise InvalidJobType for a type that is no port."""
    fields = {}
    for name, kind in _fields(use_case):
        if kind not in ports:
            raise InvalidJobType(f"{use_case.__name__}.{name} is a {kind}, which is no port that is wired")
        fields[name] = ports[kind]()
    return use_case(**fields)


@cache
def _fields(use_case: type[UseCase[Any, Any]]) -> Sequence[tuple[str, Any]]:
    """The names of its fields and the types that they want. `X | None` wants an X."""
    found = []
    for name, hint in get_type_hints(use_case).items():
        kinds = get_args(hint)
        optional = next((it for it in kinds if it is not NoneType), hint) if NoneType in kinds else hint
        found.append((name, optional))
    return found


async def upgraded(settings: Settings) -> tuple[str, str | None, str]:
    """Bring the database to this version's schema: where it is, from which revision, to which.

    Raise UnusableDatabase, StoreNewer or StoreUnavailable.
    """
    container = Container(settings=settings)
    try:
        database = container.database()
        return database.location, await upgrade(database), HEAD
    finally:
        await container.closing().close()


@asynccontextmanager
async def opened(settings: Settings, /, **parts: Any) -> AsyncIterator[Container]:
    """A container whose database is ready; on leaving, what was built is closed.

    `parts` take the place of what its providers of those names would build; they are not closed.
    Raise UnusableDatabase, StoreOutdated, StoreNewer or StoreUnavailable.
    """
    container = Container(settings=settings, **{name: providers.Object(part) for name, part in parts.items()})
    try:
        await container.prepare()
        yield container
    finally:
        await container.closing().close()
