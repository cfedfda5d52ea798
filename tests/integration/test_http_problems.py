"""What goes wrong over HTTP, and how it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from dependency_injector import providers

from forgehand.application.ports.failures import PortFailure
from forgehand.application.ports.jobs import (
    JobFilter,
    JobIdTaken,
    JobPage,
    StoreNewer,
    StoreOutdated,
    StoreUnavailable,
)
from forgehand.container import Container
from forgehand.entrypoints.http.problems import STATUSES
from forgehand.infrastructure.sql.jobs import SqlJobs
from forgehand.settings import load
from tests.http_api import Api, opened_api

ADD = "/api/jobs/add-numbers"
SECRET = "sk-verysecretverysecretverysecret"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body, if it is problem details with that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body.keys() >= {"type", "title", "status", "detail"}
    return body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b'{"firstNumber": NaN}',
        b'{"firstNumber": 1}}',
        b'{"firstNumber": 1, "remark": "\xff"}',
        b'{"firstNumber": 1, "remark": "\\ud800"}',
        b'{"firstNumber": 1, "remark": "\\u0000"}',
        b"[" * 100_000,
        b"[]",
        b"null",
        b'"text"',
        b"1e999",
        b'{"firstNumber": 123456789012345678901234567890}',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_a_body_that_is_no_request_is_refused(api: Api, body: bytes) -> None:
    answer = await api.operator.post(ADD, content=body, headers={"Content-Type": "application/json"})

    problem(answer, 400)
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "sent",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x/json"],
)
async def test_a_body_of_another_kind_is_refused(api: Api, sent: str | None) -> None:
    headers = {} if sent is None else {"Content-Type": sent}
    answer = await api.operator.post(ADD, content=b'{"firstNumber": 1}', headers=headers)

    assert "application/json" in problem(answer, 415)["detail"]


@pytest.mark.parametrize(
    "sent", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_json_by_any_of_its_names_is_taken(api: Api, sent: str) -> None:
    answer = await api.operator.post(ADD, content=b'{"firstNumber": 1}', headers={"Content-Type": sent})

    assert answer.status_code == 202


def chunks(size: int) -> Iterable[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_one_mebibyte_is_refused(api: Api, announced: bool) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks(1024 * 1024 + 1024):
            yield chunk

    content = b" " * (1024 * 1024 + 1) if announced else stream()
    answer = await api.operator.post(ADD, content=content, headers={"Content-Type": "application/json"})

    problem(answer, 413)


async def test_a_body_just_under_the_limit_is_read(api: Api) -> None:
    body = json.dumps({"firstNumber": 1}).encode().ljust(1024 * 1024)
    answer = await api.operator.post(ADD, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 202


async def test_an_unknown_path_is_not_found(api: Api) -> None:
    for path in ("/", "/api", "/api/nothing", "/api/jobs/a/b/c", "/docs", "/schema"):
        problem(await api.viewer.get(path), 404)


async def test_a_method_that_is_not_offered_is_refused_with_those_that_are(api: Api) -> None:
    answer = await api.operator.delete("/api/jobs")

    problem(answer, 405)
    assert "GET" in answer.headers["allow"]


class FailingJobs(SqlJobs):
    """The store, if it fails in one way."""

    error: Exception

    async def page(self, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        raise self.error


def failing_with(error: Exception) -> Callable[[Container], None]:
    def prepare(container: Container) -> None:
        jobs = FailingJobs(container.database(), container.clock())
        jobs.error = error
        container.jobs.override(providers.Object(jobs))

    return prepare


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (StoreUnavailable("no route to 10.1.2.3"), 503, "store-unavailable"),
        (StoreOutdated("run `forgehand db upgrade`"), 503, "store-outdated"),
        (StoreNewer("upgrade Forgehand"), 503, "store-newer"),
        (JobIdTaken("that id is taken"), 409, "job-id-taken"),
    ],
)
async def test_what_the_store_refuses_has_its_status(error: PortFailure, status: int, kind: str) -> None:
    async with opened_api(prepare=failing_with(error)) as api:
        answer = await api.viewer.get("/api/jobs")

    body = problem(answer, status)
    assert body["type"] == f"urn:forgehand:problem:{kind}"
    assert "10.1.2.3" not in answer.text
    assert ("retry-after" in answer.headers) is isinstance(error, StoreUnavailable)


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), ValueError(SECRET), KeyError(SECRET), OSError(SECRET)]
)
async def test_what_was_not_foreseen_is_logged_under_an_id_and_not_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened_api(prepare=failing_with(error)) as api:
        answer = await api.viewer.get("/api/jobs")

    body = problem(answer, 500)
    incident = body["detail"].rpartition(" ")[2]
    assert len(incident) == 36
    assert incident in caplog.text
    assert "Traceback" in caplog.text
    assert type(error).__name__ not in answer.text
    assert SECRET not in answer.text + caplog.text


async def test_a_database_that_is_gone_is_told_before_and_behind_the_gate(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept' / 'jobs.db'}"
    async with opened_api(load({"database_url": url})) as api:
        await api.container.database().close()
        for file in (tmp_path / "kept").iterdir():
            file.unlink()
        (tmp_path / "kept").rmdir()
        (tmp_path / "kept").write_text("no folder any more")

        answer = await api.viewer.get("/api/jobs")
        ready = await api.stranger.get("/ready")
        health = await api.stranger.get("/health")

        assert answer.status_code in {500, 503}
        assert str(tmp_path) not in answer.text
        body = problem(ready, 503)
        assert [fault["field"] for fault in body["errors"]] == ["database"]
        assert str(tmp_path) not in ready.text
        assert health.status_code == 200


async def test_a_redis_that_is_away_is_named_as_not_ready(unused_tcp_port: int) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{unused_tcp_port}/0"
    async with opened_api(load({"database_url": "sqlite://", "redis_url": url})) as api:
        answer = await api.stranger.get("/ready")

    body = problem(answer, 503)
    assert [fault["field"] for fault in body["errors"]] == ["redis"]
    assert "retry-after" in answer.headers
    assert SECRET not in answer.text


async def test_a_database_of_another_version_is_not_ready(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    async with opened_api(load({"database_url": url})) as api:
        assert (await api.stranger.get("/ready")).status_code == 200
        async with api.container.database().write() as connection:
            await connection.exec_driver_sql("UPDATE forgehand_alembic_version SET version_num = '9999'")
        answer = await api.stranger.get("/ready")

    [fault] = problem(answer, 503)["errors"]
    assert fault["field"] == "database"
    assert "upgrade" in fault["problem"]


def test_only_client_errors_and_unavailability_are_in_the_table() -> None:
    assert {status.value for status in STATUSES.values()} == {400, 404, 409, 422, 503}
