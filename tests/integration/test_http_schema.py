"""The API against its own description, with whatever schemathesis thinks of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import product
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
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
from forgehand.infrastructure.sql.database import Database
from forgehand.infrastructure.sql.schema import upgrade
from forgehand.settings import load
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
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


@asynccontextmanager
async def served(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """The URL of a server on this loop, and an operator's token."""
    database = Database(database_url)
    if not database.sqlite:
        await upgrade(database)
        await database.close()
    async with opened_container(load({"database_url": database_url})) as container:
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
def in_a_thread(database_url: str) -> Iterator[tuple[str, str]]:
    """The same on a loop of its own: schemathesis blocks this one."""
    found: list[tuple[str, str]] = []
    up, down = threading.Event(), threading.Event()

    async def live() -> None:
        async with served(database_url) as pair:
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


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    in_memory = request.param == "sqlite"
    with in_a_thread("sqlite://" if in_memory else request.getfixturevalue("postgres_url")) as pair:
        yield pair


def test_every_answer_is_as_described(server: tuple[str, str]) -> None:
    url, token = server
    bearer = {"Authorization": f"Bearer {token}"}
    whole = schemathesis.openapi.from_url(f"{url}/api/openapi.json", headers=bearer)
    schema = whole.exclude(path_regex="/stream$")  # they have no end, and tests of their own
    tried: set[tuple[str, int]] = set()

    for found, mode in product(schema.get_all_operations(), GenerationMode):
        operation = found.ok()

        @settings(EXAMPLES)
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case[Any]) -> None:
            case.headers.pop("Prefer", None)  # how long a job takes is not the matter here
            answer = case.call_and_validate(checks=CHECKS, headers=bearer)
            tried.add((case.operation.label, answer.status_code))

        with suppress(Unsatisfiable):  # where nothing can be sent, nothing can be sent wrongly
            holds()

    assert len({operation for operation, _ in tried}) >= 10
    assert {status for _, status in tried} >= {200, 202, 400, 404}
