"""Submitting and watching jobs over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from dependency_injector import providers

from forgehand.application.clock import utc_now
from forgehand.domain.access import Role
from forgehand.domain.jobs import JobState
from forgehand.entrypoints.http.app import in_process
from forgehand.entrypoints.http.preferences import preferred_wait
from tests.http_api import Api, Wait, client_of, make_token, opened_api

NO_ONES = UUID("01990000-0000-7000-8000-000000000000")

ADD = "/api/jobs/add-numbers"
WAIT = "/api/jobs/wait-for-it"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


async def test_a_submitted_job_is_accepted_and_can_be_looked_up(api: Api) -> None:
    answer = await api.operator.post(ADD, json={"firstNumber": 2})
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    assert job["type"] == "add-numbers"
    assert (job["state"], job["condition"], job["priority"]) == ("pending", "pending", "normal")
    assert job["request"] == {"firstNumber": 2, "secondNumber": 0, "remark": ""}
    assert job["submittedBy"] == "operator"
    found = (await api.viewer.get(answer.headers["location"])).json()
    assert found == job | {"attempts": []}


async def test_every_registered_job_type_has_a_route(api: Api) -> None:
    for name in api.container.job_types().names:
        answer = await api.operator.post(f"/api/jobs/{name}", json={"unheardOf": 1})
        assert answer.status_code == 400, name


async def test_whoever_prefers_to_wait_gets_the_finished_job(api: Api) -> None:
    answer = await api.operator.post(
        ADD, json={"firstNumber": 2, "secondNumber": 3}, headers={"Prefer": "respond-async, wait=20"}
    )
    job = answer.json()

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    assert (job["state"], job["attemptCount"]) == ("completed", 1)
    assert job["result"]["totalSum"] == 5
    assert job["result"]["usage"]["inputTokens"] == 3


async def test_a_finished_job_shows_its_attempt_and_its_events(api: Api) -> None:
    job = (await api.operator.post(ADD, json={"firstNumber": 2}, headers={"Prefer": "wait=20"})).json()

    detail = (await api.viewer.get(f"/api/jobs/{job['id']}")).json()
    [attempt] = detail["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["problem"]) == (1, "completed", None)
    events = (await api.viewer.get(f"/api/jobs/{job['id']}/events")).json()
    assert [event["kind"] for event in events["items"]] == ["submitted", "started", "log", "completed"]
    assert events["items"][2]["data"]["firstNumber"] == 2
    rest = (
        await api.viewer.get(f"/api/jobs/{job['id']}/events?after={events['items'][1]['sequence']}")
    ).json()
    assert rest["items"] == events["items"][2:]
    assert rest["last"] == events["last"]


async def test_a_failed_job_is_answered_with_its_problem(api: Api) -> None:
    answer = await api.operator.post("/api/jobs/refuse-it", json={}, headers={"Prefer": "wait=20"})

    assert answer.status_code == 200
    assert answer.json()["state"] == "failed"
    assert answer.json()["problem"] == {"kind": "Refused", "message": "this is never done"}


async def test_a_job_that_takes_longer_is_answered_as_it_stands_and_goes_on(api: Api) -> None:
    answer = await api.operator.post(WAIT, json={}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert answer.headers["preference-applied"] == "wait=1"

    Wait.released.set()
    job = await api.container.jobs().get(UUID(answer.json()["id"]))
    ended = await in_process(api.app).wait_for(job, 20)
    assert ended.state is JobState.COMPLETED


async def test_at_shutdown_a_running_job_is_handed_back_and_whoever_waits_is_answered(api: Api) -> None:
    asking = asyncio.create_task(api.operator.post(WAIT, json={}, headers={"Prefer": "wait=60"}))
    await asyncio.wait_for(Wait.started.wait(), 20)

    await in_process(api.app).close()

    answer = await asyncio.wait_for(asking, 20)
    assert answer.status_code == 202
    job = (await api.viewer.get(f"/api/jobs/{answer.json()['id']}")).json()
    assert (job["state"], job["attemptCount"]) == ("pending", 0)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["returned"]


async def test_the_same_idempotency_key_is_the_same_job(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    first = await api.operator.post(ADD, json={"firstNumber": 1}, headers=key)
    again = await api.operator.post(ADD, json={"secondNumber": 0, "first_number": 1}, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    ended = await api.operator.post(ADD, json={"firstNumber": 1}, headers=key | {"Prefer": "wait=20"})
    replayed = await api.operator.post(ADD, json={"firstNumber": 1}, headers=key)
    assert (ended.status_code, replayed.status_code) == (200, 200)
    assert replayed.json() == ended.json()
    assert replayed.json()["id"] == first.json()["id"]
    assert len((await api.viewer.get("/api/jobs")).json()["items"]) == 1


async def test_twenty_submissions_at_once_with_one_key_are_one_job(api: Api) -> None:
    send = [
        api.operator.post(ADD, json={"firstNumber": 1}, headers={"Idempotency-Key": "one"}) for _ in range(20)
    ]
    answers = await asyncio.gather(*send)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_an_idempotency_key_with_another_body_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    await api.operator.post(ADD, json={"firstNumber": 1}, headers=key)

    for path, body in ((ADD, {"firstNumber": 2}), ("/api/jobs/refuse-it", {})):
        answer = await api.operator.post(path, json=body, headers=key)
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:forgehand:problem:idempotency-conflict"


async def test_idempotency_keys_of_two_tokens_do_not_meet(api: Api) -> None:
    text, _ = await make_token(api.container, "other", Role.OPERATOR)
    key = {"Idempotency-Key": "one"}
    mine = await api.operator.post(ADD, json={"firstNumber": 1}, headers=key)
    async with client_of(api.app, text) as other:
        theirs = await other.post(ADD, json={"firstNumber": 2}, headers=key)

    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


async def test_an_idempotency_key_lasts_a_day() -> None:
    times = [utc_now()]

    def turn_back(container: Any) -> None:
        container.clock.override(providers.Object(lambda: times[0]))

    async with opened_api(prepare=turn_back) as api:
        first = await api.submit_with_key("one", 1)
        times[0] += timedelta(hours=23, minutes=59)
        assert await api.submit_with_key("one", 1) == first
        times[0] += timedelta(minutes=2)
        assert await api.submit_with_key("one", 2) != first


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_an_unusable_idempotency_key_is_refused(api: Api, key: str) -> None:
    answer = await api.operator.post(ADD, json={"firstNumber": 1}, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


async def test_all_faults_of_a_request_are_named_at_once(api: Api) -> None:
    answer = await api.operator.post(ADD, json={"firstNumber": -1, "secondNumber": "x", "thirdNumber": 3})
    problem = answer.json()

    assert answer.status_code == 400
    assert {fault["field"] for fault in problem["errors"]} == {"firstNumber", "secondNumber", "thirdNumber"}
    assert all(fault["problem"] for fault in problem["errors"])


async def test_jobs_are_listed_newest_first_in_pages(api: Api) -> None:
    made = [await api.submit(number) for number in range(5)]

    seen: list[str] = []
    cursor: str | None = None
    for size in (2, 2, 1):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.viewer.get("/api/jobs", params=query)).json()
        assert len(page["items"]) == size
        seen += [job["id"] for job in page["items"]]
        cursor = page["nextCursor"]
    assert cursor is None
    assert seen == [str(job_id) for job_id in reversed(made)]


async def test_jobs_are_listed_by_type_and_state(api: Api) -> None:
    waiting = await api.submit()
    done = (await api.operator.post(ADD, json={"firstNumber": 2}, headers={"Prefer": "wait=20"})).json()
    refused = (await api.operator.post("/api/jobs/refuse-it", json={}, headers={"Prefer": "wait=20"})).json()

    async def listed(query: str) -> set[str]:
        return {job["id"] for job in (await api.viewer.get(f"/api/jobs?{query}")).json()["items"]}

    assert await listed("type=add-numbers") == {str(waiting), done["id"]}
    assert await listed("state=completed&state=failed") == {done["id"], refused["id"]}
    assert await listed("type=add-numbers&type=refuse-it&state=pending") == {str(waiting)}


async def test_a_list_by_an_unknown_type_is_answered_with_those_there_are(api: Api) -> None:
    answer = await api.viewer.get("/api/jobs?type=add-numbers&type=unheard-of")

    assert answer.status_code == 404
    assert "add-numbers" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    ["state=sleeping", "limit=0", "limit=201", "limit=x", "cursor=%F0%9F%92%A9", "cursor=aaaa", "cursor="],
)
async def test_a_list_refuses_what_it_cannot_do(api: Api, query: str) -> None:
    assert (await api.viewer.get(f"/api/jobs?{query}")).status_code == 400


@pytest.mark.parametrize("path", [f"/api/jobs/{NO_ONES}", f"/api/jobs/{NO_ONES}/events", "/api/jobs/nothing"])
async def test_a_job_that_does_not_exist_is_not_found(api: Api, path: str) -> None:
    answer = await api.viewer.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_job_type_is_answered_with_those_there_are(api: Api) -> None:
    answer = await api.operator.post("/api/jobs/unheard-of", json={})

    assert answer.status_code == 404
    assert "generate-docs" in answer.json()["detail"]


async def test_leases_are_not_shown(api: Api) -> None:
    job = (await api.operator.post(ADD, json={"firstNumber": 2}, headers={"Prefer": "wait=20"})).json()
    [attempt] = await api.container.jobs().attempts(UUID(job["id"]))

    text = (await api.viewer.get(f"/api/jobs/{job['id']}")).text

    assert str(attempt.lease_id) not in text
    assert "lease" not in text.lower()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('return=minimal, wait="7"; foo=bar', 7),
        ("wait=600", 600),
        ("wait=601", 600),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait", None),
        ("await=5", None),
    ],
)
def test_the_preferred_wait_is_read_as_the_rfc_says(header: str | None, seconds: int | None) -> None:
    assert preferred_wait(header) == seconds
