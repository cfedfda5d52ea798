"""`forgehand schedules`, called within this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forgehand.entrypoints.cli import main

ADD = ("schedules", "add", "nightly", "generate-docs", "--cron", "30 2 * * *", "--zone", "Europe/Berlin")
FIELDS = ("repo=octo/sample", "number=7")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Commands set up the log of their process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'forgehand.db'}")

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


def test_a_schedule_is_added_shown_and_listed(call: Call) -> None:
    added = call(*ADD, "--overlap", "allow", "--catch-up", "all", *FIELDS)
    assert added.code == 0, added.err
    assert "timing:                  30 2 * * *, Europe/Berlin" in added.out
    assert added.out.count("next: ") == 3
    assert "02:30:00 +0" in added.out
    assert call("schedules", "show", "nightly").out == added.out
    listed = call("schedules", "list").out.split("\t")
    assert listed[:4] == ["nightly", "generate-docs", "30 2 * * *", "Europe/Berlin"]


def test_json_is_all_that_stdout_gets(call: Call) -> None:
    added = call(*ADD, *FIELDS, "--json").json
    assert (added["overlap"], added["catchUp"], added["request"]["number"]) == ("skip", "once", 7)
    assert added["submittedBy"].startswith("cli:")
    upcoming = [datetime.fromisoformat(at) for at in added["upcoming"]]
    assert timedelta(hours=23) <= upcoming[1] - upcoming[0] <= timedelta(hours=25)
    assert call("schedules", "show", "nightly", "--json").json == added
    assert call("schedules", "list", "--json").json == [added]


def test_a_schedule_is_paused_resumed_and_removed(call: Call) -> None:
    call(*ADD, *FIELDS)
    assert "paused" in call("schedules", "pause", "nightly").out
    assert call("schedules", "list", "--json").json[0]["pausedAt"] is not None
    assert call("schedules", "resume", "nightly", "--json").json["pausedAt"] is None
    assert call("schedules", "remove", "nightly").code == 0
    nothing = call("schedules", "list")
    assert (nothing.out, nothing.code) == ("", 0)
    assert "forgehand schedules add" in nothing.err


def test_a_folder_is_kept_as_the_place_it_is(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "clone")
    added = call(*ADD, "repo=.", "number=7", "--json").json
    assert added["request"]["repo"] == str(tmp_path / "clone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bad", "generate-docs", "--cron", "0 0 30 2 *", *FIELDS), "timing: "),
        (("bad", "generate-docs", "--cron", "*/0 * * * *", *FIELDS), "timing: "),
        (("bad", "generate-docs", "--cron", "1," * 5000, *FIELDS), "timing: "),
        (("bad", "generate-docs", "--cron", "@daily", "--zone", "Mars", *FIELDS), "zone: "),
        (("bad", "bake", "--cron", "@daily"), "type: there is no job type 'bake'"),
        (("bad", "generate-docs", "--cron", "@daily", "repo=octo/sample"), "request.number: "),
        (("BAD", "generate-docs", "--cron", "@daily", *FIELDS), "name: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_stored(
    call: Call, arguments: tuple[str, ...], said: str
) -> None:
    ended = call("schedules", "add", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert len(ended.err) < 500
    assert call("schedules", "list", "--json").json == []


@pytest.mark.parametrize("act", ["show", "remove", "pause", "resume"])
def test_a_schedule_that_does_not_exist_is_not_found(call: Call, act: str) -> None:
    ended = call("schedules", act, "nobody")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "forgehand: there is no schedule 'nobody'\n"


def test_without_a_timing_the_command_is_wrong(call: Call) -> None:
    assert call("schedules", "add", "nightly", "generate-docs", *FIELDS).code == 2
