"""Operating jobs over HTTP: options of submissions, cancelling, replaying, pausing, purging, processing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from forgehand.application.clock import new_id, utc_now
from forgehand.application.ports.leases import Worker
from forgehand.domain.jobs import JobState, Priority
from forgehand.entrypoints.http.app import in_process
from tests.http_api import Api, Wait, opened_api

NO_ONES = UUID("01990000-0000-7000-8000-000000000000")


ADD = "/api/jobs/add-numbers"
REFUSE = "/api/jobs/refuse-it"
WAIT = "/api/jobs/wait-for-it"
NOW = {"Prefer": "wait=20"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with opened_api() as api:
        yield api


async def post(api: Api, path: str, body: Any = None, **query: Any) -> Any:
    answer = await api.operator.post(path, json=body, params=query)
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()


async def failed(api: Api) -> str:
    answer = await api.operator.post(REFUSE, json={}, headers=NOW)
    assert answer.json()["state"] == "failed"
    return str(answer.json()["id"])


async def condition(api: Api, job_id: object) -> str:
    return str((await api.viewer.get(f"/api/jobs/{job_id}")).json()["condition"])


async def test_a_job_is_run_as_its_submission_says(api: Api) -> None:
    parent = await api.submit()
    query = {
        "priority": "CRITICAL",
        "delay": "2h",
        "maxAttempts": 9,
        "timeout": "90",
        "uniqueKey": "one",
        "tag": ["red", "blue"],
        "after": str(parent),
        "onParentFailure": "release",
    }
    told = await post(api, ADD, {"firstNumber": 1}, **query)
    job = await api.container.jobs().get(UUID(told["id"]))
    assert (job.priority, job.max_attempts, job.timeout) == (Priority.URGENT, 9, timedelta(seconds=90))
    assert (job.unique_key, job.tags, job.blockers) == ("one", ("red", "blue"), 1)
    assert timedelta(minutes=119) < job.run_at - utc_now() <= timedelta(hours=2)
    assert (told["priority"], told["condition"], told["tags"]) == ("urgent", "waiting", ["red", "blue"])
    again = await post(api, ADD, {"firstNumber": 1}, uniqueKey="one")
    assert again["id"] == told["id"]


async def test_a_job_may_wait_for_a_time(api: Api) -> None:
    told = await post(api, ADD, {"firstNumber": 1}, runAt="2100-05-31T12:00:00+02:00", priority="medium")
    assert datetime.fromisoformat(told["runAt"]) == datetime.fromisoformat("2100-05-31T10:00:00+00:00")
    assert (told["condition"], told["priority"]) == ("scheduled", "normal")


async def test_all_faults_of_the_options_are_named_at_once_and_nothing_is_stored(api: Api) -> None:
    query = {
        "priority": "soon",
        "delay": "two hours",
        "runAt": "tomorrow",
        "timeout": "-1",
        "after": "nobody",
        "onParentFailure": "shrug",
    }
    answer = await api.operator.post(ADD, json={"firstNumber": 1}, params=query)
    assert answer.status_code == 400
    fields = {fault["field"] for fault in answer.json()["errors"]}
    assert fields == {"priority", "delay", "runAt", "timeout", "after", "onParentFailure"}
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"priorty": "high"},
        {"maxAttempts": 0},
        {"maxAttempts": 101},
        {"tag": "no blanks"},
        {"runAt": "2030-01-01T00:00:00"},
        {"delay": "99999999d"},
        {"delay": "5m", "runAt": "2100-01-01T00:00:00Z"},
        {"uniqueKey": ""},
        {"after": str(NO_ONES)},
    ],
)
async def test_options_that_cannot_be_met_are_refused(api: Api, query: dict[str, Any]) -> None:
    answer = await api.operator.post(ADD, json={"firstNumber": 1}, params=query)
    assert answer.status_code == 400, answer.text
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


async def test_the_same_key_with_other_options_is_another_request(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    for delay, status in (("5m", 202), ("5m", 202), ("6m", 422)):
        answer = await api.operator.post(ADD, json={"firstNumber": 1}, params={"delay": delay}, headers=key)
        assert answer.status_code == status
    assert len((await api.viewer.get("/api/jobs")).json()["items"]) == 1


async def test_many_are_submitted_at_once_or_none(api: Api) -> None:
    sent: list[dict[str, Any]] = [{"firstNumber": n} for n in range(20)]
    answer = await api.operator.post(f"{ADD}/batch", json=sent, params={"tag": "many", "priority": "low"})
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    assert [item["request"]["firstNumber"] for item in items] == list(range(20))
    assert {(item["priority"], *item["tags"]) for item in items} == {("low", "many")}
    wrong = await api.operator.post(f"{ADD}/batch", json=[*sent, {"firstNumber": -1}, {"x": 1}])
    assert wrong.status_code == 400
    assert len((await api.viewer.get("/api/jobs?limit=200")).json()["items"]) == 20


async def test_a_batch_with_a_key_is_submitted_once(api: Api) -> None:
    sent, key = [{"firstNumber": n} for n in range(3)], {"Idempotency-Key": "batch"}
    first = await api.operator.post(f"{ADD}/batch", json=sent, headers=key)
    again = await api.operator.post(f"{ADD}/batch", json=sent, headers=key)
    assert [it["id"] for it in first.json()["items"]] == [it["id"] for it in again.json()["items"]]
    other = await api.operator.post(f"{ADD}/batch", json=sent[:2], headers=key)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("sent", "query"), [([{"firstNumber": 1}] * 1001, {}), ([{"firstNumber": 1}], {"uniqueKey": "one"})]
)
async def test_a_batch_that_cannot_be_meant_is_refused(
    api: Api, sent: list[dict[str, int]], query: dict[str, str]
) -> None:
    answer = await api.operator.post(f"{ADD}/batch", json=sent, params=query)
    assert answer.status_code == 400
    assert (await api.viewer.get("/api/jobs")).json()["items"] == []


async def test_a_pending_job_is_cancelled_at_once_and_again_without_harm(api: Api) -> None:
    first, second = await api.submit(), await api.submit()
    for _ in range(2):
        assert (await post(api, f"/api/jobs/{first}/cancel"))["state"] == "cancelled"
    answer = await api.operator.delete(f"/api/jobs/{second}")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


async def test_a_running_job_is_cancelled_within_two_seconds(api: Api) -> None:
    asking = asyncio.create_task(api.operator.post(WAIT, json={}, headers=NOW))
    await asyncio.wait_for(Wait.started.wait(), 20)
    [job] = (await api.viewer.get("/api/jobs?state=running")).json()["items"]
    began = asyncio.get_running_loop().time()
    assert (await post(api, f"/api/jobs/{job['id']}/cancel"))["condition"] == "cancelling"
    answer = await asyncio.wait_for(asking, 20)
    assert answer.json()["state"] == "cancelled"
    assert asyncio.get_running_loop().time() - began < 3  # two seconds, and the look of who waits


async def test_a_job_that_ended_cannot_be_cancelled(api: Api) -> None:
    answer = await api.operator.post(f"/api/jobs/{await failed(api)}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:forgehand:problem:already-ended")


async def test_a_failed_job_is_retried_and_one_that_did_not_fail_is_not(api: Api) -> None:
    job_id = await failed(api)
    told = await post(api, f"/api/jobs/{job_id}/retry")
    assert (told["state"], told["attemptCount"]) == ("pending", 0)
    answer = await api.operator.post(f"/api/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:forgehand:problem:not-replayable")


async def test_all_that_match_are_cancelled_and_no_other(api: Api) -> None:
    red = [(await post(api, ADD, {"firstNumber": 1}, tag="red"))["id"] for _ in range(3)]
    blue = (await post(api, ADD, {"firstNumber": 1}, tag="blue"))["id"]
    assert await post(api, "/api/jobs/cancel", {"tag": "red", "types": ["add-numbers"]}) == {"jobs": 3}
    assert {await condition(api, job_id) for job_id in red} == {"cancelled"}
    assert await condition(api, blue) == "pending"
    assert await post(api, "/api/jobs/cancel", {"ids": [blue]}) == {"jobs": 1}


async def test_children_of_what_is_cancelled_go_on_or_fail_at_once(api: Api) -> None:
    parent = await api.submit()
    fails = await post(api, ADD, {"firstNumber": 1}, after=str(parent))
    goes_on = await post(api, ADD, {"firstNumber": 1}, after=str(parent), onParentFailure="release")
    await post(api, f"/api/jobs/{parent}/cancel")
    assert await condition(api, fails["id"]) == "failed"
    assert await condition(api, goes_on["id"]) == "pending"


async def test_all_that_are_dead_are_replayed(api: Api) -> None:
    dead = [await failed(api) for _ in range(2)]
    once = (await post(api, REFUSE, {}, maxAttempts=1))["id"]
    await post(api, f"/api/jobs/{once}/cancel")
    assert await post(api, "/api/jobs/replay", {"states": ["failed"], "submittedBy": "operator"}) == {
        "jobs": 2
    }
    assert {await condition(api, job_id) for job_id in dead} == {"pending"}
    assert await condition(api, once) == "cancelled"


async def test_what_ended_is_purged_by_age(api: Api) -> None:
    ended, live = await failed(api), await api.submit()
    assert await post(api, "/api/jobs/purge", {"all": True, "olderThan": "1h"}) == {"jobs": 0}
    assert await post(api, "/api/jobs/purge", {"all": True}) == {"jobs": 1}
    assert (await api.viewer.get(f"/api/jobs/{ended}")).status_code == 404
    assert await condition(api, live) == "pending"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/jobs/cancel", {}, 400),
        ("/api/jobs/replay", {"all": False}, 400),
        ("/api/jobs/purge", {"olderThan": "1d"}, 400),
        ("/api/jobs/cancel", {"states": ["sleeping"]}, 400),
        ("/api/jobs/cancel", {"types": ["unheard-of"]}, 404),
        ("/api/jobs/cancel", {"tags": ["red"]}, 400),
        ("/api/jobs/purge", {"all": True, "olderThan": "long"}, 400),
        ("/api/jobs/process", {"limit": 0}, 400),
        ("/api/jobs/process", {"types": ["unheard-of"]}, 404),
        ("/api/queues/unheard-of/pause", None, 404),
        (f"/api/jobs/{NO_ONES}/cancel", None, 404),
        (f"/api/jobs/{NO_ONES}/retry", None, 404),
        (f"/api/jobs/{NO_ONES}/process", None, 404),
    ],
)
async def test_what_is_not_clear_changes_nothing(api: Api, path: str, body: Any, status: int) -> None:
    job_id = await api.submit()
    answer = await api.operator.post(path, json=body)
    assert (answer.status_code, await condition(api, job_id)) == (status, "pending"), answer.text


async def test_the_workers_are_told_and_which_of_them_are_dead(api: Api) -> None:
    upkeep, now = api.container.upkeep(), api.container.clock()()
    await upkeep.beat(Worker(new_id(now), "here:1"), now)
    await upkeep.beat(Worker(new_id(now), "there:2"), now - timedelta(minutes=3))
    told = (await api.viewer.get("/api/stats")).json()["workers"]
    assert [(it["label"], it["alive"], it["running"]) for it in told] == [
        ("there:2", False, 0),
        ("here:1", True, 0),
    ]


async def test_a_paused_type_waits_until_it_is_resumed(api: Api) -> None:
    assert await post(api, "/api/queues/add-numbers/pause") == {"type": "add-numbers", "paused": True}
    await api.submit()
    assert (await post(api, "/api/jobs/process", {}))["processed"] == 0
    [stats] = [
        it for it in (await api.viewer.get("/api/stats")).json()["types"] if it["type"] == "add-numbers"
    ]
    assert (stats["paused"], stats["pending"], stats["completed"]) == (True, 1, 0)
    assert not (await post(api, "/api/queues/add-numbers/resume"))["paused"]
    assert (await post(api, "/api/jobs/process", {}))["processed"] == 1


async def test_a_plain_cron_can_drive_it(api: Api) -> None:
    ids = [str(await api.submit(n)) for n in range(3)]
    refused = (await post(api, REFUSE, {}))["id"]
    done = await post(api, "/api/jobs/process", {"limit": 2})
    assert done == {
        "success": True,
        "message": "processed 2 jobs",
        "processed": 2,
        "failed": 0,
        "jobs": [{"id": job_id, "type": "add-numbers", "status": "completed"} for job_id in ids[:2]],
    }
    rest = await post(api, "/api/jobs/process", {"limit": 50})
    assert (rest["success"], rest["processed"], rest["failed"]) == (False, 2, 1)
    assert {(it["id"], it["status"]) for it in rest["jobs"]} == {(ids[2], "completed"), (refused, "failed")}
    assert (await post(api, "/api/jobs/process", {}))["message"] == "nothing is due"


async def test_one_job_is_processed_by_its_id(api: Api) -> None:
    other, wanted = await api.submit(), await api.submit()
    done = await post(api, f"/api/jobs/{wanted}/process")
    assert [(it["id"], it["status"]) for it in done["jobs"]] == [(str(wanted), "completed")]
    assert await condition(api, other) == "pending"


async def test_at_shutdown_what_is_processed_is_handed_back_and_the_asker_told(api: Api) -> None:
    job = await post(api, WAIT, {})
    asking = asyncio.create_task(api.operator.post("/api/jobs/process", json={}))
    await asyncio.wait_for(Wait.started.wait(), 20)
    await in_process(api.app).close()
    answer = await asyncio.wait_for(asking, 20)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    found = await api.container.jobs().get(UUID(job["id"]))
    assert (found.state, found.attempts) == (JobState.PENDING, 0)


async def test_jobs_are_listed_by_condition_tag_and_submitter(api: Api) -> None:
    later = (await post(api, ADD, {"firstNumber": 1}, delay="1h", tag="x"))["id"]
    waiting = (await post(api, ADD, {"firstNumber": 1}, after=later))["id"]
    plain = str(await api.submit())

    async def listed(query: str) -> set[str]:
        return {job["id"] for job in (await api.viewer.get(f"/api/jobs?{query}")).json()["items"]}

    assert await listed("state=scheduled") == {later}
    assert await listed("state=scheduled&state=waiting") == {later, waiting}
    assert await listed("tag=x") == {later}
    assert await listed("submittedBy=operator") == {later, waiting, plain}
    assert await listed("submittedBy=nobody") == set()
    assert await listed("state=dead") == set()
