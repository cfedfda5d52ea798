"""Schedules of every second under real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.schedule_soak import soak
from tests.processes import Running, eventually, forgehand
from tests.stores import migrated


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'forgehand.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with migrated(url):
        pass
    return url


async def test_each_due_second_is_fired_once_or_stated_as_missed_while_a_process_is_killed(url: str) -> None:
    accounts = await soak(url, seconds=8)
    told = "\n".join(map(str, accounts))
    assert all(account.holds for account in accounts), told
    assert all(account.due >= 6 for account in accounts), told
    allow, skip = accounts
    assert allow.missed == 0, told
    assert skip.missed >= 2, told
    assert skip.fired >= 1, told


@pytest.mark.parametrize("command", [("worker", "generate-docs"), ("up",)])
def test_whatever_runs_jobs_fires_schedules(command: tuple[str, ...], tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'forgehand.db'}",
        "FORGEHAND_HOME": str(tmp_path / "home"),
        "FORGEHAND_PORT": "0",
    }
    fields = ("generate-docs", f"repo={tmp_path / 'nowhere'}", "number=1")
    added = forgehand("schedules", "add", "tick", *fields, "--cron", "every 1s", environment=environment)
    assert added.returncode == 0, added.stderr

    def fired() -> int | None:
        shown = forgehand("schedules", "show", "tick", "--json", environment=environment)
        assert shown.returncode == 0, shown.stderr
        return int(json.loads(shown.stdout)["fired"]) or None

    with Running(*command, environment=environment, log=tmp_path / "log") as running:
        assert eventually(fired, 30, running.log.read_text)
        assert running.end() == 0
    listed = forgehand("jobs", "list", "--json", environment=environment)
    assert {job["type"] for job in json.loads(listed.stdout)} == {"generate-docs"}
