"""Schedules over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.http_api import Api, opened_api

NIGHTLY = {
    "type": "add-numbers",
    "request": {"firstNumber": 3},
    "timing": "30 2 * * *",
    "zone": "Europe/Berlin",
    "overlap": "allow",
    "catchUp": "skip",
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


async def test_a_schedule_is_made_and_read_back(api: Api) -> None:
    answer = await api.operator.put("/api/schedules/nightly", json=NIGHTLY)
    made = answer.json()

    assert answer.status_code == 200
    assert made | NIGHTLY | {"request": made["request"]} == made
    assert made["request"] == {"firstNumber": 3, "secondNumber": 0, "remark": ""}
    assert (made["name"], made["submittedBy"], made["pausedAt"]) == ("nightly", "operator", None)
    assert (made["fired"], made["missed"], len(made["upcoming"])) == (0, 0, 3)
    assert (await api.viewer.get("/api/schedules/nightly")).json() == made
    assert (await api.viewer.get("/api/schedules")).json() == {"items": [made]}


async def test_only_type_and_timing_must_be_said(api: Api) -> None:
    answer = await api.operator.put(
        "/api/schedules/often", json={"type": "wait-for-it", "timing": "every 5m"}
    )
    made = answer.json()
    assert (made["zone"], made["overlap"], made["catchUp"]) == ("UTC", "skip", "once")


async def test_put_again_it_is_changed(api: Api) -> None:
    first = (await api.operator.put("/api/schedules/nightly", json=NIGHTLY)).json()
    same = (await api.operator.put("/api/schedules/nightly", json=NIGHTLY)).json()
    assert same == first
    body = NIGHTLY | {"timing": "@hourly"}
    changed = (await api.operator.put("/api/schedules/nightly", json=body)).json()
    assert changed["timing"] == "@hourly"
    assert changed["upcoming"] != first["upcoming"]
    assert changed["createdAt"] == first["createdAt"]


async def test_a_schedule_is_paused_resumed_and_removed(api: Api) -> None:
    await api.operator.put("/api/schedules/nightly", json=NIGHTLY)
    paused = await api.operator.post("/api/schedules/nightly/pause")
    assert (paused.status_code, paused.json()["upcoming"]) == (200, [])
    assert paused.json()["pausedAt"] is not None
    resumed = await api.operator.post("/api/schedules/nightly/resume")
    assert (resumed.status_code, resumed.json()["pausedAt"]) == (200, None)
    assert len(resumed.json()["upcoming"]) == 3
    removed = await api.operator.delete("/api/schedules/nightly")
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await api.viewer.get("/api/schedules")).json() == {"items": []}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timing": "0 0 30 2 *"}, "timing"),
        ({"timing": "*/0 * * * *"}, "timing"),
        ({"timing": "1," * 5000}, "timing"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"type": "bake"}, "type"),
        ({"request": {"firstNumber": "many"}}, "request.firstNumber"),
        ({"request": {"firstNumber": 1, "roof": 1}}, "request.roof"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_stored(
    api: Api, change: dict[str, Any], field: str
) -> None:
    answer = await api.operator.put("/api/schedules/nightly", json=NIGHTLY | change)
    problem = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:forgehand:problem:invalid-schedule"
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert (await api.viewer.get("/api/schedules")).json() == {"items": []}


@pytest.mark.parametrize(
    "body",
    [{}, [], NIGHTLY | {"overlap": "sometimes"}, NIGHTLY | {"catchUp": 7}, NIGHTLY | {"unheardOf": 1}],
)
async def test_a_body_of_another_form_is_refused(api: Api, body: Any) -> None:
    answer = await api.operator.put("/api/schedules/nightly", json=body)
    assert answer.status_code == 400
    assert (await api.viewer.get("/api/schedules")).json() == {"items": []}


@pytest.mark.parametrize("name", ["Not-Lower", "x" * 51, "a%20b", "%00", "-a"])
async def test_a_name_that_cannot_be_one_is_refused(api: Api, name: str) -> None:
    answer = await api.operator.put(f"/api/schedules/{name}", json=NIGHTLY)
    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.json()["errors"]] == ["name"]


async def test_a_schedule_that_does_not_exist_is_not_found(api: Api) -> None:
    for method, path in (
        ("GET", "nobody"),
        ("GET", "%00"),
        ("DELETE", "nobody"),
        ("POST", "nobody/pause"),
        ("POST", "nobody/resume"),
    ):
        answer = await api.operator.request(method, f"/api/schedules/{path}")
        assert (answer.status_code, answer.json()["type"]) == (
            404,
            "urn:forgehand:problem:schedule-not-found",
        )


async def test_a_viewer_may_look_and_only_an_operator_may_change(api: Api) -> None:
    await api.operator.put("/api/schedules/nightly", json=NIGHTLY)
    for method, path in (
        ("PUT", "nightly"),
        ("DELETE", "nightly"),
        ("POST", "nightly/pause"),
        ("POST", "nightly/resume"),
    ):
        assert (await api.viewer.request(method, f"/api/schedules/{path}")).status_code == 403
        assert (await api.stranger.request(method, f"/api/schedules/{path}")).status_code == 401
    assert (await api.stranger.get("/api/schedules")).status_code == 401
    assert (await api.viewer.get("/api/schedules/nightly")).json()["pausedAt"] is None
