"""The API over a store in memory, with job types made for it, and a client for each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from dependency_injector import providers
from litestar import Litestar
from pydantic import Field

from forgehand.application.access import new_token
from forgehand.application.clock import utc_now
from forgehand.application.jobs.context import JobContext
from forgehand.application.jobs.job_type import JobRequest, JobResult, JobType, JobTypes, Policy
from forgehand.application.registry import JOB_TYPES
from forgehand.container import Container, opened
from forgehand.domain.access import AccessToken, Role
from forgehand.domain.errors import DomainError
from forgehand.domain.usage import Usage
from forgehand.entrypoints.http.app import create_app
from forgehand.settings import Settings, load

BASE = "http://testserver"


class AddRequest(JobRequest):
    """What to add."""

    first_number: int = Field(ge=0, le=1000)
    second_number: int = Field(0, ge=0, le=1000)
    remark: str = ""


class AddResult(JobResult):
    """What it comes to."""

    total_sum: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Add:
    """Add two numbers.

    It needs nothing.
    """

    async def execute(self, request: AddRequest, job: JobContext) -> AddResult:
        await job.log("info", "adding", first_number=request.first_number)
        return AddResult(total_sum=request.first_number + request.second_number, usage=Usage(input_tokens=3))


class WaitRequest(JobRequest):
    """Nothing."""


class Wait:
    """What the test and its waiting job say to each other."""

    started: asyncio.Event
    released: asyncio.Event


@dataclass(frozen=True, slots=True)
class WaitForIt:
    """Go on until the test says so."""

    async def execute(self, request: WaitRequest, job: JobContext) -> AddResult:
        Wait.started.set()
        await Wait.released.wait()
        return AddResult(total_sum=0, usage=Usage())


class Refused(DomainError):
    """The job says no."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Fail for good."""

    async def execute(self, request: WaitRequest, job: JobContext) -> AddResult:
        raise Refused("this is never done")


TYPES = JobTypes(
    (
        *JOB_TYPES,
        JobType("add-numbers", AddRequest, AddResult, Policy(), Add),
        JobType("wait-for-it", WaitRequest, AddResult, Policy(), WaitForIt),
        JobType("refuse-it", WaitRequest, AddResult, Policy(), Refuse),
    )
)


@dataclass
class Api:
    """`viewer`, `operator` and `stranger` (no token) speak to `app`; `texts` are the tokens by role."""

    container: Container
    app: Litestar
    viewer: httpx.AsyncClient
    operator: httpx.AsyncClient
    stranger: httpx.AsyncClient
    texts: dict[str, str]

    async def submit(self, first: int = 1, **more: Any) -> UUID:
        answer = await self.operator.post("/api/jobs/add-numbers", json={"firstNumber": first, **more})
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    async def submit_with_key(self, key: str, first: int) -> UUID:
        answer = await self.operator.post(
            "/api/jobs/add-numbers", json={"firstNumber": first}, headers={"Idempotency-Key": key}
        )
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])


async def make_token(container: Container, name: str, role: Role) -> tuple[str, AccessToken]:
    text, token = new_token(name, role, utc_now())
    await container.tokens().add(token)
    return text, token


def client_of(app: Litestar, token: str | None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # Litestar types its scopes more narrowly
    return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)


@asynccontextmanager
async def opened_container(settings: Settings | None = None) -> AsyncIterator[Container]:
    """With our job types, and no model whatever is configured."""
    Wait.started, Wait.released = asyncio.Event(), asyncio.Event()
    async with opened(settings or load({"database_url": "sqlite://"})) as container:
        container.job_types.override(providers.Object(TYPES))
        container.model.override(providers.Object(None))
        yield container


@asynccontextmanager
async def started(app: Litestar) -> AsyncIterator[None]:
    """Its lifespan, in one task from end to end, as servers run it."""
    up, down = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            up.set()
            await down.wait()

    life = asyncio.create_task(live())
    await up.wait()
    try:
        yield
    finally:
        down.set()
        await life


@asynccontextmanager
async def opened_api(
    settings: Settings | None = None, prepare: Callable[[Container], None] = lambda _: None
) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        container = await stack.enter_async_context(opened_container(settings))
        prepare(container)
        app = create_app(container)
        await stack.enter_async_context(started(app))
        texts = {role.value: (await make_token(container, role.value, role))[0] for role in Role}
        viewer = await stack.enter_async_context(client_of(app, texts["viewer"]))
        operator = await stack.enter_async_context(client_of(app, texts["operator"]))
        stranger = await stack.enter_async_context(client_of(app, None))
        yield Api(container, app, viewer, operator, stranger, texts)
