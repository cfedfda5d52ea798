"""`forgehand up`: HTTP and workers in one process, and one of them on a data folder."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import Running, eventually, forgehand
from tests.repositories import Sample, build_sample


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return build_sample(tmp_path / "sample")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"FORGEHAND_LOCAL_ROOTS": str(tmp_path)}


@pytest.fixture
def up(environment: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    with Running("up", "--port", "0", environment=environment, log=tmp_path / "up.log") as running:
        running.said("Ctrl-C ends it")
        yield running


def client(up: Running) -> httpx.Client:
    url, token = (up.said(f"{name}: ").partition(": ")[2] for name in ("url", "token"))
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def test_a_posted_job_is_run_in_the_same_process(up: Running, sample: Sample) -> None:
    with client(up) as http:
        answer = http.post("/api/jobs/generate-docs", json={"repo": str(sample.repository.path), "number": 2})
        assert answer.status_code == 202, answer.text
        place = answer.headers["location"]
        job = eventually(
            lambda: job if (job := http.get(place).json())["state"] == "completed" else None,
            30,
            lambda: http.get(place).text,
        )
        document = http.get(f"/api/docs/{job['result']['documentationId']}").json()
    assert (document["repo"], document["number"]) == ("octo/sample", 2)


def test_a_second_one_on_the_same_data_folder_ends_with_one_line(
    up: Running, environment: dict[str, str]
) -> None:
    second = forgehand("up", "--port", "0", environment=environment)
    assert second.returncode == 7
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert "another Forgehand runs on" in second.stderr
    assert up.process.poll() is None


def test_the_command_line_works_beside_it(up: Running, environment: dict[str, str], sample: Sample) -> None:
    command = ("docs", "--repo", str(sample.repository.path), "--pr", "2")
    assert forgehand(*command, environment=environment).returncode == 0
    with client(up) as http:
        assert [it["number"] for it in http.get("/api/docs").json()["items"]] == [2]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_0_and_its_token_ends_with_it(
    up: Running, environment: dict[str, str], how: signal.Signals
) -> None:
    assert up.end(how) == 0
    [row] = forgehand("token", "list", environment=environment).stdout.splitlines()
    name, role, _, revoked = row.split("\t")
    assert (name.split()[0], role) == ("up", "admin")
    assert revoked
    assert "Traceback" not in up.log.read_text()


def test_it_starts_again_after_it_was_killed(
    up: Running, environment: dict[str, str], tmp_path: Path
) -> None:
    up.process.kill()
    up.process.wait()
    with Running("up", "--port", "0", environment=environment, log=tmp_path / "again.log") as again:
        again.said("Ctrl-C ends it")
        with client(up) as old, client(again) as new:
            assert new.get("/api/jobs").status_code == 200
            outdated = {"Authorization": old.headers["Authorization"]}
            assert new.get("/api/jobs", headers=outdated).status_code == 401


def test_a_port_in_use_ends_with_one_line(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = forgehand("up", environment=environment | {"FORGEHAND_PORT": port})
    assert ended.returncode == 7
    assert ended.stderr.count("\n") == 1
    assert f"port {port} is in use" in ended.stderr
