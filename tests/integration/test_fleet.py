"""PostgreSQL, Redis, one server process and two workers, and one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import Running, eventually, forgehand, several
from tests.repositories import SampleRepository

LEASE = 4.0
TOLD = {
    name: [{"text": f"The {name} of greeting.", "files": ["app.py"]}]
    for name in ("summary", "what_changed", "why", "how_to_use", "migration_notes", "risks")
}


@pytest.fixture
def repository(tmp_path: Path) -> SampleRepository:
    sample = SampleRepository.create(tmp_path / "sample")
    sample.write("app.py", "def greet():\n    return 1\n")
    sample.commit("Start")
    sample.start_branch("greeting")
    sample.write("app.py", "def greet(name):\n    return name\n")
    sample.commit("Greet by name")
    sample.switch("main")
    sample.merge_pull(7, "greeting", "Greet by name")
    return sample


@pytest.fixture
def environment(
    postgres_url: str, redis_url: str, tmp_path: Path, repository: SampleRepository
) -> dict[str, str]:
    script = tmp_path / "replies.json"
    script.write_text(json.dumps([{"output": TOLD, "repeat": True, "delay": 1}]))
    environment = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "FORGEHAND_HOME": str(tmp_path / "home"),
        "FORGEHAND_MODEL": f"scripted:{script}",
        "FORGEHAND_LOCAL_ROOTS": str(repository.path),
        "FORGEHAND_LEASE_SECONDS": str(LEASE),
        "FORGEHAND_PORT": "0",
    }
    upgraded = forgehand("db", "upgrade", environment=environment)
    assert upgraded.returncode == 0, upgraded.stderr
    return environment


@pytest.fixture
def fleet(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[httpx.Client, dict[int, Running]]]:
    made = forgehand("token", "create", "tests", "--role", "operator", environment=environment)
    assert made.returncode == 0, made.stderr
    token = next(word for word in made.stdout.split() if word.startswith("fh_"))
    server = Running("serve", environment=environment, log=tmp_path / "serve.log")
    workers = [
        Running("worker", "generate-docs", environment=environment, log=tmp_path / f"worker{n}.log")
        for n in (1, 2)
    ]
    with several(server, *workers):
        url = server.said("url: ").partition("url: ")[2].strip()
        for worker in workers:
            worker.said("working on")
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            yield client, {worker.pid: worker for worker in workers}


def job_of(client: httpx.Client, location: str) -> dict[str, Any]:
    answer = client.get(location)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def completed(client: httpx.Client, location: str, within: float) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = job_of(client, location)
        return job if job["state"] == "completed" else None

    return eventually(look, within, lambda: str(job_of(client, location)))


def test_a_posted_job_is_run_by_a_worker_and_its_document_is_read_over_http(
    fleet: tuple[httpx.Client, dict[int, Running]], repository: SampleRepository
) -> None:
    client, _ = fleet
    answer = client.post("/api/jobs/generate-docs", json={"repo": str(repository.path), "number": 7})
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    job = completed(client, location, within=30)
    document = client.get(f"/api/docs/{job['result']['documentationId']}").json()
    assert document["narrative"]["summary"][0]["text"] == "The summary of greeting."
    assert document["version"] == 1


def test_a_worker_killed_at_work_is_replaced_within_two_leases_and_nothing_is_doubled(
    fleet: tuple[httpx.Client, dict[int, Running]],
    repository: SampleRepository,
    environment: dict[str, str],
) -> None:
    client, workers = fleet
    answer = client.post("/api/jobs/generate-docs", json={"repo": str(repository.path), "number": 7})
    location = answer.headers["location"]
    asked = eventually(
        lambda: (
            [
                event
                for event in client.get(f"{location}/events").json()["items"]
                if event["kind"] == "model_call"
            ]
            or None
        ),
        30,
        lambda: str(job_of(client, location)),
    )
    assert [event["data"]["state"] for event in asked] == ["asked"]
    [attempt] = job_of(client, location)["attempts"]
    victim = int(attempt["worker"].rpartition(":")[2])
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    workers[victim].process.wait()
    job = completed(client, location, within=2 * LEASE)
    assert time.monotonic() - killed <= 2 * LEASE
    outcomes = [(it["number"], it["outcome"]) for it in job["attempts"]]
    assert outcomes == [(1, "lost"), (2, "completed")]
    assert job["attempts"][0]["worker"] != job["attempts"][1]["worker"]
    [document] = client.get("/api/docs").json()["items"]
    assert document["version"] == 1
    shown = forgehand("jobs", "show", job["id"], "--json", environment=environment)
    assert shown.returncode == 0, shown.stderr
    calls = [it["state"] for it in json.loads(shown.stdout)["modelCalls"]]
    assert calls == ["asked", "asked", "answered"]


def test_a_worker_asked_to_end_hands_its_job_back_and_the_other_runs_it(
    fleet: tuple[httpx.Client, dict[int, Running]],
    repository: SampleRepository,
) -> None:
    client, workers = fleet
    answer = client.post("/api/jobs/generate-docs", json={"repo": str(repository.path), "number": 7})
    location = answer.headers["location"]
    eventually(
        lambda: job_of(client, location)["attempts"] or None, 30, lambda: str(job_of(client, location))
    )
    first = int(job_of(client, location)["attempts"][0]["worker"].rpartition(":")[2])
    assert workers[first].end() == 0
    job = completed(client, location, within=30)
    assert "lost" not in [it["outcome"] for it in job["attempts"]]
