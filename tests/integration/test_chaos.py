"""The chaos proof in its shorter form: `make chaos` is the whole of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import Postgres, Redis

ROOT = Path(__file__).parents[2]
RUNS = {
    "postgresql": "--jobs 90 --seconds 6 --kills 4 --freezes 2",
    "sqlite": "--store sqlite --jobs 60 --seconds 5 --kills 3",
    "broken": "--jobs 300 --seconds 12 --kills 1 --freezes 9 --slots 8 --break-fence",
}


@pytest.fixture(scope="module")
def storms(
    postgres: Postgres, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All three at once: they mostly wait. Each starts servers of its own, so that it can kill them."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.chaos", *options.split(), "--workers", "2", "--lease", "1.5"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, options in RUNS.items()
    }
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, str], str]:
    """The exit code, the account by its lines, and all of it."""
    said, _ = process.communicate(timeout=100)
    rows = dict(line.rsplit(maxsplit=1) for line in said.splitlines() if line[-1:].isdigit())
    return process.returncode, {name.strip(): value for name, value in rows.items()}, said


def test_jobs_survive_killed_and_frozen_workers_redis_and_postgresql(
    storms: dict[str, subprocess.Popen[str]],
) -> None:
    code, rows, said = ended(storms["postgresql"])
    assert code == 0, said
    assert int(rows["jobs"]) >= 90
    assert int(rows["SIGKILL"]) == 4
    for blow in (
        "SIGSTOP, then SIGCONT",
        "Redis flushed",
        "Redis killed and restarted",
        "all connections cut",
    ):
        assert int(rows[blow]) >= 1, said
    for how in ("fast", "immediate", "killed"):
        assert int(rows[f"PostgreSQL restarted ({how})"]) >= 1, said
    faults = {
        name: int(value) for name, value in rows.items() if name.isupper() and not name.startswith("SIG")
    }
    assert len(faults) == 11
    assert not any(faults.values())


def test_jobs_on_sqlite_survive_killed_workers(storms: dict[str, subprocess.Popen[str]]) -> None:
    code, rows, said = ended(storms["sqlite"])
    assert code == 0, said
    assert int(rows["SIGKILL"]) == 3
    assert int(rows["jobs"]) >= 60


def test_without_the_fence_the_account_shows_doubles_and_fails(
    storms: dict[str, subprocess.Popen[str]],
) -> None:
    code, rows, said = ended(storms["broken"])
    assert code == 1, said
    assert int(rows["DOUBLED: ENDED TWICE"]) > 0
    assert "NOT BALANCED" in said
