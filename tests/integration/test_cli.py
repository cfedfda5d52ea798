"""The command line as real processes: signals, pipes, terminals, other servers, and how fast it starts."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.github_server import FakeGitHub
from tests.processes import Running, forgehand
from tests.repositories import Sample, build_sample

NARRATIVE = {
    name: [{"text": f"The {name} of it.", "files": ["src/app.py"]}]
    for name in ("summary", "what_changed", "why", "how_to_use", "migration_notes", "risks")
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return build_sample(tmp_path_factory.mktemp("cli") / "sample")


@pytest.fixture
def clone(sample: Sample) -> str:
    return str(sample.repository.path)


@pytest.fixture
def scripted(tmp_path: Path, clone: str) -> Callable[..., dict[str, str]]:
    """The environment of processes whose model replies so."""

    def environment(**reply: Any) -> dict[str, str]:
        path = tmp_path / "script.json"
        path.write_text(json.dumps([{"repeat": True, **reply}]))
        return {
            "FORGEHAND_MODEL": f"scripted:{path}",
            "FORGEHAND_LOCAL_ROOTS": clone,
            "FORGEHAND_LEASE_SECONDS": "2",
        }

    return environment


def jobs(environment: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        forgehand("jobs", "list", "--json", environment=environment).stdout
    )
    return found


class TestSignals:
    def test_ctrl_c_ends_with_130_and_the_job_stays_in_the_queue_unspent(
        self, clone: str, scripted: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        environment = scripted(output=NARRATIVE, delay=60)
        log = tmp_path / "log"
        with Running("docs", "--repo", clone, "--pr", "2", environment=environment, log=log) as docs:
            self.wait_for_model_call(environment)
            assert docs.end(signal.SIGINT, within=10) == 130
        assert "stays in the queue" in log.read_text()
        assert "Traceback" not in log.read_text()
        [job] = jobs(environment)
        assert (job["state"], job["attemptCount"]) == ("pending", 0)

    def test_a_worker_asked_to_end_lets_its_job_finish(
        self, clone: str, scripted: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        environment = scripted(output=NARRATIVE, delay=2)
        forgehand("docs", "--repo", clone, "--pr", "2", "--queue", environment=environment)
        with Running("worker", environment=environment, log=tmp_path / "log") as worker:
            self.wait_for_model_call(environment)
            assert worker.end(signal.SIGTERM) == 0
        [job] = jobs(environment)
        assert (job["state"], job["attemptCount"]) == ("completed", 1)

    def test_a_second_signal_ends_a_worker_at_once(
        self, clone: str, scripted: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        environment = scripted(output=NARRATIVE, delay=60) | {"FORGEHAND_GRACE_SECONDS": "60"}
        forgehand("docs", "--repo", clone, "--pr", "2", "--queue", environment=environment)
        with Running("worker", environment=environment, log=tmp_path / "log") as worker:
            self.wait_for_model_call(environment)
            worker.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(1)
            assert worker.end(signal.SIGTERM, within=2) == 128 + signal.SIGTERM

    def wait_for_model_call(self, environment: dict[str, str]) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for job in jobs(environment):
                log = forgehand("jobs", "logs", job["id"], environment=environment).stdout
                if "model_call" in log:
                    return
        pytest.fail("no model was called")


class TestWorkers:
    def test_types_come_from_the_command_line_else_from_the_environment(
        self, clone: str, scripted: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        environment = scripted(output=NARRATIVE)
        asked = environment | {"WORKER_TYPE": "make-coffee"}
        refused = forgehand("worker", environment=asked)
        assert refused.returncode == 2
        assert "'make-coffee'" in refused.stderr
        with Running("worker", "generate-docs", environment=asked, log=tmp_path / "log") as worker:
            worker.said("working on generate-docs")
        with Running(
            "worker", environment=asked | {"WORKER_TYPE": "generate-docs"}, log=tmp_path / "log"
        ) as worker:
            worker.said("working on generate-docs")

    def test_what_was_queued_is_run_and_its_log_can_be_followed(
        self, clone: str, scripted: Callable[..., dict[str, str]], tmp_path: Path
    ) -> None:
        environment = scripted(output=NARRATIVE, delay=1)
        queued = forgehand("docs", "--repo", clone, "--pr", "2", "--queue", environment=environment)
        job_id = queued.stdout.strip()
        with Running("worker", environment=environment, log=tmp_path / "log"):
            followed = forgehand("jobs", "logs", job_id, "--follow", environment=environment)
        kinds = [line.split()[3] for line in followed.stdout.splitlines()]
        assert (kinds[0], kinds[-1]) == ("submitted", "completed")


class TestModels:
    def test_rubbish_is_asked_for_again_and_ends_with_5(
        self, clone: str, scripted: Callable[..., dict[str, str]]
    ) -> None:
        environment = scripted(text="As a language model, I would say: {")
        ended = forgehand("docs", "--repo", clone, "--pr", "2", environment=environment)
        assert ended.returncode == 5
        assert ended.stdout == ""
        assert ended.stderr.splitlines()[-1].startswith("forgehand: ")
        [job] = jobs(environment)
        assert (job["problem"]["kind"], job["attemptCount"]) == ("ModelOutputInvalid", 3)

    def test_a_model_that_is_busy_to_the_end_ends_with_6(
        self, clone: str, scripted: Callable[..., dict[str, str]]
    ) -> None:
        environment = scripted(error="overloaded")
        ended = forgehand("docs", "--repo", clone, "--pr", "2", environment=environment)
        assert ended.returncode == 6


class TestHosts:
    def test_a_wrong_token_ends_with_4_and_is_never_shown(self) -> None:
        wrong = "token-of-nobody-at-all"
        with FakeGitHub() as github:
            environment = {"GITHUB_TOKEN": wrong, "GITHUB_API_URL": github.api_url}
            ended = forgehand("docs", "--repo", "acme/shop", "--pr", "1", environment=environment)
            doctor = forgehand("doctor", environment=environment)
        assert ended.returncode == 4, ended.stderr
        assert ended.stderr.count("\n") == 1
        assert "GITHUB_TOKEN" in ended.stderr
        assert doctor.returncode == 7
        assert "broken   GitHub token" in doctor.stdout
        assert wrong not in ended.stderr + doctor.stdout

    def test_a_repository_that_is_not_there_ends_with_3(self) -> None:
        with FakeGitHub() as github:
            environment = {"GITHUB_TOKEN": github.token, "GITHUB_API_URL": github.api_url}
            ended = forgehand("docs", "--repo", "acme/gone", "--pr", "1", environment=environment)
        assert ended.returncode == 3
        assert "acme/gone" in ended.stderr


class TestServers:
    def test_a_server_database_is_upgraded_by_hand_alone(self, postgres_url: str) -> None:
        environment = {"DATABASE_URL": postgres_url}
        outdated = forgehand("jobs", "list", environment=environment)
        assert outdated.returncode == 7
        assert "run `forgehand db upgrade`" in outdated.stderr
        doctor = forgehand("doctor", environment=environment)
        assert "broken   database" in doctor.stdout
        assert "is upgraded from nothing to" in forgehand("db", "upgrade", environment=environment).stdout
        assert forgehand("jobs", "list", environment=environment).returncode == 0

    def test_the_doctor_finds_redis(self, redis_url: str) -> None:
        ended = forgehand("doctor", environment={"REDIS_URL": redis_url})
        assert ended.returncode == 0
        assert "ok       Redis: answers" in ended.stdout


class TestTerminals:
    def test_a_terminal_gets_rendered_markdown(self, clone: str) -> None:
        controller, terminal = pty.openpty()
        ended = subprocess.Popen(
            [sys.executable, "-m", "forgehand", "docs", "--repo", clone, "--pr", "2"],
            stdout=terminal,
            stderr=terminal,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "90"},
        )
        os.close(terminal)
        said = b""
        while True:
            try:
                part = os.read(controller, 65_536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            said += part
        os.close(controller)
        assert ended.wait(30) == 0
        text = said.decode(errors="replace")
        assert "octo/sample#2: Greet louder" in text
        assert "**Files**" not in text
        assert "\x1b[" in text

    def test_a_reader_that_goes_away_is_no_accident(self, clone: str) -> None:
        command = f"{sys.executable} -m forgehand docs --repo '{clone}' --pr 2 | head -n 1"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert ended.stdout == "# octo/sample#2: Greet louder\n"
        assert "Traceback" not in ended.stderr

    def test_a_poor_encoding_loses_no_document(self, clone: str) -> None:
        ended = forgehand("docs", "--repo", clone, "--pr", "2", environment={"PYTHONIOENCODING": "ascii"})
        assert ended.returncode == 0, ended.stderr
        assert "na\\xefve.txt" in ended.stdout


class TestStarting:
    def test_the_script_and_the_module_are_the_same(self) -> None:
        script = Path(sysconfig.get_path("scripts")) / "forgehand"
        said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
        assert said == forgehand("--version", environment={}).stdout
