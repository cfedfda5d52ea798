"""The guide's example, added to a copy of the package as the guide says, through CLI, HTTP and worker."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.processes import Running, eventually, forgehand, several
from tests.repositories import SampleRepository

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> SampleRepository:
    sample = SampleRepository.create(tmp_path / "sample")
    sample.write("a.txt", "one\n")
    sample.commit("Start")
    sample.start_branch("more")
    for text in ("two\n", "three\n"):
        sample.write("a.txt", text)
        sample.commit(f"Write {text}")
    sample.switch("main")
    sample.merge_pull(12, "more", "More text")
    return sample


@pytest.fixture
def environment(tmp_path: Path, repository: SampleRepository) -> dict[str, str]:
    guide = (ROOT / "docs" / "adding-a-job-type.md").read_text()
    file, line = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    [place] = re.findall(r"^`src/(forgehand/application/use_cases/\w+\.py)`:$", guide, re.MULTILINE)
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / place).write_text(file)
    names = sorted(set(re.findall(r"CountCommits\w*", line)))
    registry = copy / "forgehand/application/registry.py"
    text = registry.read_text()
    module = place.removesuffix(".py").replace("/", ".")
    text = text.replace("JOB_TYPES:", f"from {module} import {', '.join(names)}\n\nJOB_TYPES:", 1)
    assert text.endswith("\n)\n")
    registry.write_text(text.removesuffix(")\n") + line + ")\n")
    return {
        "PYTHONPATH": str(copy),
        "FORGEHAND_HOME": str(tmp_path / "home"),
        "FORGEHAND_LOCAL_ROOTS": str(repository.path),
        "FORGEHAND_PORT": "0",
    }


def test_the_guides_example_runs_from_the_command_line(
    environment: dict[str, str], repository: SampleRepository
) -> None:
    ran = forgehand(
        "run", "count-commits", f"repo={repository.path}", "number=12", "--json", environment=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["commits"] == 2
    listed = forgehand("run", "--list", environment=environment)
    assert "Count the commits of a pull request." in listed.stdout


def test_the_guides_example_runs_over_http_and_by_a_worker_of_its_own(
    environment: dict[str, str], repository: SampleRepository, tmp_path: Path
) -> None:
    made = forgehand("token", "create", "guide", "--role", "operator", environment=environment)
    token = next(word for word in made.stdout.split() if word.startswith("fh_"))
    server = Running("serve", environment=environment, log=tmp_path / "serve.log")
    worker = Running("worker", "count-commits", environment=environment, log=tmp_path / "worker.log")
    with several(server, worker):
        url = server.said("url: ").partition("url: ")[2].strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            request = {"repo": str(repository.path), "number": 12}
            answer = client.post("/api/jobs/count-commits", json=request)
            assert answer.status_code == 202, answer.text

            def look() -> object:
                job = client.get(answer.headers["location"]).json()
                return job if job["state"] == "completed" else None

            job = eventually(look, 30, lambda: client.get(answer.headers["location"]).text)
            assert isinstance(job, dict)
            assert job["result"]["commits"] == 2
            assert "count-commits" in client.get("/api/openapi.json").text
