"""Streams over real HTTP, on both stores: complete, resumable, ended by the end of their job."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from dependency_injector import providers

from forgehand.application.jobs.watching import Watching
from forgehand.application.ports.bell import TOLD, Bell
from forgehand.application.ports.jobs import JobFilter, StoreUnavailable
from forgehand.container import Container
from forgehand.domain.access import Role
from forgehand.domain.jobs import EventKind, JobEvent
from forgehand.entrypoints.http.server import serve
from forgehand.infrastructure.queue import embedded_bell, redis_bell
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.settings import load
from tests.contracts.job_selection import JobSelectionContract
from tests.contracts.job_store import Store
from tests.http_api import make_token, opened_container
from tests.stores import job_store, migrated

NO_ONES = UUID("01990000-0000-7000-8000-000000000000")


ADD = "/api/jobs/add-numbers"
WAIT = "/api/jobs/wait-for-it"


@dataclass
class Served:
    container: Container
    client: httpx.AsyncClient
    serving: asyncio.Task[None]

    async def submit(self, path: str = ADD, **options: Any) -> str:
        body = {"firstNumber": 1} if path == ADD else {}
        answer = await self.client.post(path, json=body, params=options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def process(self) -> None:
        answer = await self.client.post("/api/jobs/process", json={"limit": 100})
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def served(database_url: str) -> AsyncIterator[Served]:
    database = Database(database_url)
    if not database.sqlite:
        await upgrade(database)
    await database.close()
    async with opened_container(load({"database_url": database_url})) as container:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        text, _ = await make_token(container, "tests", Role.OPERATOR)
        serving = asyncio.create_task(serve(container, "127.0.0.1", 0, listening=url.set_result))
        headers = {"Authorization": f"Bearer {text}"}
        async with httpx.AsyncClient(base_url=await url, headers=headers, timeout=60) as client:
            yield Served(container, client, serving)
        serving.cancel()
        await asyncio.wait({serving})


@pytest.fixture(params=["sqlite", "postgresql"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with served(url) as api:
        yield api


@dataclass
class Message:
    """One event as a browser gets it."""

    kind: str = ""
    id: str = ""
    data: Any = None


async def messages(answer: httpx.Response) -> AsyncIterator[Message]:
    message = Message()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line:
            if message.data is not None or message.id:
                yield message
            message = Message()
        elif name == "event":
            message.kind = value
        elif name == "id":
            message.id = value
        elif name == "data":
            message.data = json.loads(value)


async def all_of(api: Served, job_id: str, last: str = "") -> list[Message]:
    """The stream of a job until the server ends it."""
    headers = {"Last-Event-ID": last} if last else {}
    async with asyncio.timeout(30):
        async with api.client.stream("GET", f"/api/jobs/{job_id}/stream", headers=headers) as answer:
            assert answer.status_code in {200, 204}
            return [message async for message in messages(answer)]


def kinds(told: list[Message]) -> list[str]:
    return [message.kind for message in told]


WHOLE = ["submitted", "started", "log", "completed"]


async def test_a_job_is_followed_from_its_first_event_to_its_last(api: Served) -> None:
    job_id = await api.submit()
    following = asyncio.create_task(all_of(api, job_id))
    await asyncio.sleep(0.2)
    await api.process()
    told = await following
    assert kinds(told) == WHOLE
    assert [message.data["kind"] for message in told] == WHOLE
    assert {message.data["jobId"] for message in told} == {job_id}
    assert told[2].data["data"]["message"] == "adding"
    assert [int(message.id) for message in told] == sorted(int(message.id) for message in told)


async def test_an_ended_job_is_told_whole_and_then_no_more(api: Served) -> None:
    job_id = await api.submit()
    await api.process()
    told = await all_of(api, job_id)
    assert kinds(told) == WHOLE
    answer = await api.client.get(f"/api/jobs/{job_id}/stream", headers={"Last-Event-ID": told[-1].id})
    assert answer.status_code == 204


async def test_whoever_was_cut_off_goes_on_where_it_was(api: Served) -> None:
    job_id = await api.submit()
    await api.process()
    told = await all_of(api, job_id)
    for place, message in enumerate(told[:-1]):
        assert await all_of(api, job_id, message.id) == told[place + 1 :]


async def test_a_replayed_job_is_followed_beyond_its_first_end(api: Served) -> None:
    job_id = await api.submit("/api/jobs/refuse-it")
    await api.process()
    assert (await api.client.post(f"/api/jobs/{job_id}/retry")).status_code == 200
    following = asyncio.create_task(all_of(api, job_id))
    await asyncio.sleep(0.2)
    await api.process()
    assert kinds(await following) == ["submitted", "started", "failed", "replayed", "started", "failed"]


async def test_the_last_event_is_never_lost_however_close_the_end_is(api: Served) -> None:
    ids = [await api.submit() for _ in range(15)]
    following = [asyncio.create_task(all_of(api, job_id)) for job_id in ids]
    await api.process()
    for told in await asyncio.gather(*following):
        assert kinds(told) == WHOLE


async def test_a_cancelled_job_ends_its_stream(api: Served) -> None:
    job_id = await api.submit()
    following = asyncio.create_task(all_of(api, job_id))
    await asyncio.sleep(0.2)
    await api.client.post(f"/api/jobs/{job_id}/cancel")
    assert kinds(await following) == ["submitted", "cancelled"]


async def test_all_jobs_are_followed_from_now_and_on_from_any_place(api: Served) -> None:
    """Cut off after every third event, while jobs are submitted and done."""
    before = await api.submit()
    seen: list[Message] = []
    last = ""

    async def some(most: int) -> None:
        nonlocal last
        async with api.client.stream("GET", "/api/stream", headers={"Last-Event-ID": last}) as answer:
            assert answer.status_code == 200
            async for message in messages(answer):
                last = message.id
                if message.data is not None:
                    seen.append(message)
                    most -= 1
                if most == 0:
                    return

    async with asyncio.timeout(40):
        async with api.client.stream("GET", "/api/stream") as answer:
            last = (await anext(messages(answer))).id
        ids = [await api.submit() for _ in range(6)]
        await api.client.post(f"/api/jobs/{before}/cancel")
        working = asyncio.create_task(api.process())
        for _ in range(8):
            await some(3)
        await some(1)
        await working
    assert len({message.data["sequence"] for message in seen}) == len(seen) == 25
    for job_id in ids:
        assert kinds([it for it in seen if it.data["jobId"] == job_id]) == WHOLE
    assert kinds([it for it in seen if it.data["jobId"] == before]) == ["cancelled"]


@pytest.mark.parametrize(
    ("path", "last", "status"),
    [
        ("/api/stream", "nonsense", 400),
        (f"/api/jobs/{NO_ONES}/stream", "", 404),
        ("/api/jobs/{}/stream", "-1", 400),
        ("/api/jobs/{}/stream", "9" * 30, 400),
    ],
)
async def test_a_stream_that_cannot_be_is_refused(api: Served, path: str, last: str, status: int) -> None:
    headers = {"Last-Event-ID": last} if last else {}
    answer = await api.client.get(path.format(await api.submit()), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_the_head_of_a_stream_is_told_and_does_not_hang(api: Served) -> None:
    async with asyncio.timeout(10):
        answer = await api.client.head("/api/stream")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_open_streams_do_not_hold_up_the_end_of_the_server(api: Served) -> None:
    job_id = await api.submit()
    following = [asyncio.create_task(all_of(api, job_id)) for _ in range(3)]
    async with api.client.stream("GET", "/api/stream") as answer:
        assert answer.status_code == 200
        await asyncio.sleep(0.3)
        began = time.monotonic()
        api.serving.cancel()
        await asyncio.wait({api.serving}, timeout=20)
        assert time.monotonic() - began < 2.5
    assert [kinds(told) for told in await asyncio.gather(*following)] == [["submitted"]] * 3


@pytest.fixture
async def container() -> AsyncIterator[Container]:
    async with opened_container() as container:
        yield container


class Flaky:
    """A store that is away every third time."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            self._calls += 1
            if self._calls % 3 == 1:
                raise StoreUnavailable("the line is down")
            return await getattr(self._inner, name)(*args, **options)

        return call


async def test_a_reader_that_does_not_read_gathers_nothing(container: Container) -> None:
    """What is read from the store is a page ahead of the reader, never more."""
    job_id = (await container.submit_job().submit("add-numbers", {"first_number": 1}, by="ada")).job.id
    pages: list[int] = []

    class Counting(Flaky):
        def __getattr__(self, name: str) -> Any:
            async def call(*args: Any, **options: Any) -> Any:
                found = await getattr(self._inner, name)(*args, **options)
                if name == "events":
                    pages.append(len(found))
                return found

            return call

    counting: Any = Counting(container.jobs())
    stream = Watching(counting, embedded_bell(), every=0.01).job(job_id)
    async with asyncio.timeout(10):
        assert await anext(stream) is not None
        for _ in range(3):
            await container.process_jobs().due(1, ["add-numbers"])
            await asyncio.sleep(0.05)
        assert pages == [1]
        rest = [event async for event in stream if event is not None]
    assert [event.kind.value for event in rest] == WHOLE[1:]


async def test_silence_is_told_now_and_then(container: Container) -> None:
    submission = await container.submit_job().submit("add-numbers", {"first_number": 1}, by="ada")
    watching = Watching(container.jobs(), container.bell(), every=0.01, quiet=0.05)
    told: list[JobEvent | None] = []
    async with asyncio.timeout(10):
        async for event in watching.job(submission.job.id):
            told.append(event)
            if len(told) == 4:
                watching.close()
    assert [event and event.kind for event in told] == [EventKind.SUBMITTED, None, None, None]


async def test_a_reader_is_woken_by_what_happens_and_need_not_look(container: Container) -> None:
    await woken(container, container.bell())


async def test_a_reader_is_woken_by_another_process_through_redis(
    container: Container, redis_url: str
) -> None:
    elsewhere, here = redis_bell(redis_url, "wakes"), redis_bell(redis_url, "wakes")
    container.bell.override(providers.Object(elsewhere))
    try:
        await woken(container, here)
    finally:
        here.close()
        elsewhere.close()


async def woken(container: Container, bell: Bell) -> None:
    """A reader that looks once an hour is told of all that comes."""
    watching = Watching(container.jobs(), bell, every=3600)
    told: list[str] = []

    async def read() -> None:
        async for streamed in watching.all("0-0"):
            if streamed is not None:
                told.append(streamed.event.kind.value)  # noqa: PERF401 - each as it comes

    async with asyncio.timeout(20), watching.opened():
        reading = asyncio.create_task(read())
        submission = await container.submit_job().submit("add-numbers", {"first_number": 1}, by="ada")
        # Whoever has just begun to listen may not hear the first ring.
        while not told:
            container.bell().ring(TOLD)
            await asyncio.sleep(0.05)
        await container.process_jobs().due(1, ["add-numbers"])
        while told != WHOLE:
            await asyncio.sleep(0.01)
        again = await container.submit_job().submit("add-numbers", {"first_number": 2}, by="ada")
        await container.operate_jobs().cancel_one(again.job.id)
        while told != [*WHOLE, "submitted", "cancelled"]:
            await asyncio.sleep(0.01)
        assert submission.created
    await asyncio.wait_for(reading, 5)


async def test_however_often_it_rings_a_reader_looks_ten_times_a_second_at_most(container: Container) -> None:
    looks = 0

    class Counting(Flaky):
        def __getattr__(self, name: str) -> Any:
            nonlocal looks
            looks += name == "stream"
            return getattr(self._inner, name)

    counting: Any = Counting(container.jobs())
    watching = Watching(counting, container.bell())
    began = time.monotonic()
    async with watching.opened():
        reading = asyncio.ensure_future(anext(watching.all(await container.jobs().tail())))
        while time.monotonic() - began < 1:
            container.bell().ring(TOLD)
            await asyncio.sleep(0.005)
        assert 2 <= looks <= (time.monotonic() - began) * 10 + 1
        reading.cancel()


async def test_a_purged_job_ends_its_stream(container: Container) -> None:
    submission = await container.submit_job().submit("add-numbers", {"first_number": 1}, by="ada")
    told = []
    async with asyncio.timeout(10):
        async for event in Watching(container.jobs(), container.bell(), every=0.01, quiet=0.03).job(
            submission.job.id
        ):
            told.append(event)
            if len(told) == 1:
                control, clock = container.control(), container.clock()
                jobs = JobFilter(ids=[submission.job.id])
                await control.cancel(jobs, clock())
                await asyncio.sleep(0.01)
                await control.purge(jobs, clock())
    assert told[0] is not None


async def test_a_store_that_comes_and_goes_costs_no_event(container: Container) -> None:
    ids = [
        (await container.submit_job().submit("add-numbers", {"first_number": 1}, by="ada")).job.id
        for _ in range(3)
    ]
    start = "0-0"
    await container.process_jobs().due(3, ["add-numbers"])
    flaky: Any = Flaky(container.jobs())
    watching = Watching(flaky, embedded_bell(), every=0.01)
    async with asyncio.timeout(20):
        told = [event async for event in watching.job(ids[1]) if event is not None]
        assert [event.kind.value for event in told] == WHOLE
        seen: list[UUID] = []
        async for streamed in watching.all(start):
            if streamed is not None:
                seen.append(streamed.event.job_id)
            if len(seen) == 12:
                watching.close()
    assert {job_id: seen.count(job_id) for job_id in ids} == dict.fromkeys(ids, 4)


class TestPostgresqlSelection(JobSelectionContract):
    @pytest.fixture
    async def store(self, postgres_url: str) -> AsyncIterator[Store]:
        async with migrated(postgres_url) as database:
            yield job_store(database)
