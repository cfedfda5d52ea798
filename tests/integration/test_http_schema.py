"""The API against its own description, with whatever schemathesis thinks of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from forgehand.domain.access import Role
from forgehand.entrypoints.http.server import serve
from tests.http_api import Wait, make_token, opened_container

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, str]]:
    """The URL of a server on this loop, and an operator's token."""
    async with opened_container() as container:
        Wait.released.set()
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        token, _ = await make_token(container, "schemathesis", Role.OPERATOR)
        serving = asyncio.create_task(serve(container, "127.0.0.1", 0, listening=url.set_result))
        try:
            yield await url, token
        finally:
            serving.cancel()
            await asyncio.wait({serving})


@contextmanager
def in_a_thread() -> Iterator[tuple[str, str]]:
    """The same on a loop of its own: schemathesis blocks this one."""
    found: list[tuple[str, str]] = []
    up, down = threading.Event(), threading.Event()

    async def live() -> None:
        async with served() as pair:
            found.append(pair)
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert up.wait(30)
        yield found[0]
    finally:
        down.set()
        thread.join(30)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str]]:
    with in_a_thread() as pair:
        yield pair


def test_every_answer_is_as_described(server: tuple[str, str]) -> None:
    url, token = server
    bearer = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json", headers=bearer)
    tried: set[str] = set()

    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(EXAMPLES)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            case.headers.pop("Prefer", None)  # how long a job takes is not the matter here
            case.call_and_validate(checks=CHECKS, headers=bearer)
            tried.add(case.operation.label)

        holds()

    assert len(tried) >= 10
