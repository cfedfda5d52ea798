"""What the API says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.http_api import Api, opened_api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


@pytest.fixture
async def description(api: Api) -> dict[str, Any]:
    answer = await api.viewer.get("/api/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_each_job_type_is_described_by_its_request_and_its_result(description: dict[str, Any]) -> None:
    operation = description["paths"]["/api/jobs/add-numbers"]["post"]
    schemas = description["components"]["schemas"]

    assert operation["summary"] == "Add two numbers."
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/AddRequest"}
    assert schemas["AddRequest"]["required"] == ["firstNumber"]
    assert schemas["AddRequest"]["properties"]["firstNumber"]["maximum"] == 1000
    for status in ("200", "202"):
        answer = operation["responses"][status]["content"]["application/json"]["schema"]
        assert answer == {"$ref": "#/components/schemas/AddNumbersJob"}
    assert {"$ref": "#/components/schemas/AddResult"} in schemas["AddNumbersJob"]["properties"]["result"][
        "anyOf"
    ]
    options = [
        "priority",
        "runAt",
        "delay",
        "maxAttempts",
        "timeout",
        "uniqueKey",
        "tag",
        "after",
        "onParentFailure",
    ]
    assert {"Prefer", "Idempotency-Key", *options} == {it["name"] for it in operation["parameters"]}


async def test_every_registered_job_type_is_described(api: Api, description: dict[str, Any]) -> None:
    assert {f"/api/jobs/{name}" for name in api.container.job_types().names} <= description["paths"].keys()


async def test_every_property_is_in_camel_case(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    names = {name for schema in schemas.values() for name in schema.get("properties", {})}

    assert "inputTokens" in names
    assert [name for name in names if not re.fullmatch(r"[a-z][A-Za-z0-9]*", name)] == []


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}

    assert set(references(description)) <= known


async def test_a_token_is_asked_for_everywhere_but_on_health_and_ready(description: dict[str, Any]) -> None:
    assert description["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, item in description["paths"].items():
        for operation in item.values():
            expected: list[dict[str, list[str]]] = [{}] if path in {"/health", "/ready"} else [{"token": []}]
            assert operation.get("security", description["security"]) == expected, path


async def test_nothing_in_it_is_loaded_from_elsewhere(description: dict[str, Any]) -> None:
    assert "http://" not in json.dumps(description)
    assert "https://" not in json.dumps(description)
    assert "cdn" not in json.dumps(description).lower()
