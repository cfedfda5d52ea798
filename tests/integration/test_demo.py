"""`forgehand demo`, as a newcomer runs it: no keys, no git identity, an empty home."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.aimock import start_aimock
from tests.repositories import run_git


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """All that a newcomer's environment holds."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FORGEHAND_HOME": str(tmp_path / "home")}


def demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forgehand", *(arguments or ["demo"])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_prints_the_document_and_says_what_it_did(newcomer: dict[str, str]) -> None:
    ran = demo(newcomer)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("# forgehand-demo/pantry#2: Scale recipes by servings")
    for part in (
        "changed function `scale` in `src/pantry/recipes.py`",
        "`def scale(recipe: Recipe, servings: int) -> Recipe`",
        "`pyyaml` in `pyproject.toml`: added, `>=6.0`",
        "`src/pantry/units.py` renamed from `src/pantry/helpers.py`",
        "`uv.lock` ignored: lock file",
        "1 test file touched",
        "Signs of a breaking change",
        "Recipes are scaled by the servings that are wanted",
    ):
        assert part in ran.stdout
    assert "Model: scripted" in ran.stderr
    assert "POST /api/jobs/generate-docs" in ran.stderr
    assert f"{newcomer['FORGEHAND_HOME']}/demo/forgehand.db" in ran.stderr
    assert "docs --repo . --pr NUMBER" in ran.stderr


def test_a_second_run_finds_everything_as_it_was(newcomer: dict[str, str]) -> None:
    first, second = demo(newcomer), demo(newcomer)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert "nothing had changed" not in first.stderr
    assert "nothing had changed, so the model was not asked again" in second.stderr


def test_the_command_that_it_suggests_for_the_sample_works(newcomer: dict[str, str]) -> None:
    last = demo(newcomer).stderr.splitlines()[-1]
    arguments = shlex.split(last)[1:]
    ran = demo(newcomer, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == ["#3", "#2", "#1"]


def test_the_sample_is_a_real_repository(newcomer: dict[str, str]) -> None:
    demo(newcomer)
    sample = Path(newcomer["FORGEHAND_HOME"]) / "demo" / "pantry"
    assert run_git(sample, "fsck", "--strict") == b""
    assert run_git(sample, "status", "--porcelain") == b""
    subjects = run_git(sample, "log", "--first-parent", "--format=%s").decode().splitlines()
    assert subjects[1] == "Merge pull request #2 from lee/scale-by-servings"


def test_a_real_model_is_used_when_a_key_is_set(newcomer: dict[str, str]) -> None:
    claim = [{"text": "A vendor's model says so.", "files": ["src/pantry/recipes.py"]}]
    names = ("summary", "what_changed", "why", "how_to_use", "migration_notes", "risks")
    answer = {"content": json.dumps(dict.fromkeys(names, claim))}
    with start_aimock([{"match": {}, "response": answer}]) as server:
        key = {"ANTHROPIC_API_KEY": "key-of-nobody-123456", "ANTHROPIC_BASE_URL": server.url}
        ran = demo(newcomer | key)
    assert ran.returncode == 0, ran.stderr
    assert "A vendor's model says so." in ran.stdout
    assert "Model: anthropic/" in ran.stderr
    assert "key-of-nobody" not in ran.stdout + ran.stderr


def test_it_leaves_the_users_own_database_alone(newcomer: dict[str, str], tmp_path: Path) -> None:
    own = tmp_path / "own.db"
    servers = {"DATABASE_URL": f"sqlite:///{own}", "REDIS_URL": "redis://127.0.0.1:1"}
    assert demo(newcomer | servers).returncode == 0
    assert not own.exists()


def test_a_machine_without_git_is_told_so_in_one_line(newcomer: dict[str, str], tmp_path: Path) -> None:
    ran = demo(newcomer | {"PATH": str(tmp_path)})
    assert ran.returncode == 7
    assert ran.stderr == "forgehand: git is not installed: install it, then run this again\n"
    assert not (Path(newcomer["FORGEHAND_HOME"]) / "demo" / "pantry").exists()
